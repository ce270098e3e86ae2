"""Wrong files get the same words from tidegate as from the nginx that is installed."""

import subprocess
from dataclasses import dataclass

import pytest

from tidegate.config.load import load

MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

pytestmark = pytest.mark.needs("nginx")


@dataclass(frozen=True)
class Verdict:
    """What a test of a configuration said: the first error without its prefix, and if it passed."""

    words: str
    passes: bool


def in_server(text):
    return f"events {{}}\nstream {{\n  server {{\n    {text}\n  }}\n}}\n"


def in_upstream(text):
    return f"events {{}}\nstream {{\n  upstream a {{\n    {text}\n  }}\n}}\n"


def in_stream(text):
    return f"events {{}}\nstream {{\n  {text}\n}}\n"


def in_log(text):
    return in_stream(f"log_format f $status;\n  access_log {text};")


def in_http(text):
    return f"events {{}}\nhttp {{\n  upstream a {{\n    {text}\n  }}\n}}\n"


TWO = "server 127.0.0.1:1; server 127.0.0.1:2"

LIMIT_ZONE = "limit_conn_zone $binary_remote_addr zone=x:1m;"

SAME = {
    "unknown directive": "worker_proceses 2;\nevents {}\n",
    "unknown directive in a server": in_server("listen 1883; proxy_passs x;"),
    "directive in the wrong block": "events {}\nproxy_pass x;\n",
    "stream directive in events": "events { listen 1883; }\n",
    "http directive in stream": in_stream("location / { }"),
    "no argument": "worker_processes;\nevents {}\n",
    "too many arguments": "worker_processes 1 2;\nevents {}\n",
    "argument for a block": "events x {}\n",
    "resolver without a server": in_stream("resolver valid=10s;"),
    "resolver with a wrong time": in_stream("resolver 10.0.0.1 valid=x;"),
    "valid resolver with years": in_stream("resolver 10.0.0.1 valid=1y;"),
    "resolver with a wrong flag": in_stream("resolver 10.0.0.1 ipv6=maybe;"),
    "resolver with a wrong port": in_stream("resolver 10.0.0.1:x;"),
    "resolver that is not found": in_stream("resolver no.such.name.invalid;"),
    "resolver without an argument": in_stream("resolver;"),
    "resolver of IPv6 that is none": in_stream("resolver [::x];"),
    "two resolvers": in_stream("resolver 10.0.0.1; resolver 10.0.0.2;"),
    "two times of a resolver": in_stream("resolver_timeout 1s; resolver_timeout 1s;"),
    "resolver_timeout of no time": in_stream("resolver_timeout x;"),
    "valid resolver": in_stream("resolver 10.0.0.1 [fd00::1]:53 valid=10s ipv6=off;"),
    "resolver of a server": in_server("listen 127.0.0.1:1883; return x; resolver 10.0.0.1 valid=;"),
    "resolver of http": "events {}\nhttp { resolver 10.0.0.1 ipv6=x; }\n",
    "flag with two values": "daemon on off;\nevents {}\n",
    "block without a brace": "events;\n",
    "brace behind a simple directive": "worker_processes 1 {\n}\nevents {}\n",
    "no semicolon before a brace": "events { worker_connections 10 }\n",
    "no semicolon before the next line": in_server("proxy_timeout 1m\n    listen 1883;"),
    "no semicolon at the end": "events {}\nworker_processes 1",
    "one brace too many": "events {}\n}\n",
    "one brace too few": "events {\n\n",
    "open quote": 'events {}\nuser "x;\n',
    "letters behind a quote": in_server('listen 1883; return "a"b;'),
    "brace out of nothing": "events {}\n{\n",
    "semicolon out of nothing": "events {}\n;\n",
    "word of 5000 bytes": "events {}\nuser " + "x" * 5000 + ";\n",
    "quote of 5000 bytes": 'events {}\n\nuser "' + "x" * 5000 + '";\n',
    "flag that is neither": in_server("listen 1883; return x; tcp_nodelay maybe;"),
    "duplicate flag": "daemon on;\ndaemon off;\nevents {}\n",
    "duplicate pid": "pid a;\nevents {}\npid b;\n",
    "duplicate events": "events {}\nevents {}\n",
    "duplicate worker_processes": "worker_processes 1;\nworker_processes 2;\nevents {}\n",
    "worker_processes of letters": "worker_processes many;\nevents {}\n",
    "worker_priority of letters": "worker_priority x;\nevents {}\n",
    "worker_rlimit_nofile with k": "worker_rlimit_nofile 4k;\nevents {}\n",
    "worker_connections of letters": "events { worker_connections x; }\n",
    "unknown event method": "events { use kqueues; }\n",
    "no room for a listening socket": "events { worker_connections 0; }\n",
    "no events": "worker_processes 1;\n",
    "unknown log level": "error_log logs/e.log loud;\nevents {}\n",
    "two log levels": "error_log logs/e.log info warn;\nevents {}\n",
    "load_module too late": "events {}\nload_module x.so;\n",
    "missing include": "events {}\ninclude nothing.conf;\n",
    "include of two": "events {}\ninclude a b;\n",
    "include with a block": "events {}\ninclude x {\n}\n",
    "server without listen": in_server("return x;"),
    "server without handler": in_server("listen 1883;"),
    "listen without a value": in_server("listen; return x;"),
    "listen on port 0": in_server("listen 0; return x;"),
    "listen on port 70000": in_server("listen 127.0.0.1:70000; return x;"),
    "listen on a port of letters": in_server("listen 127.0.0.1:mqtt; return x;"),
    "listen on a range upside down": in_server("listen 1890-1883; return x;"),
    "listen on an unclosed IPv6 address": in_server("listen [::1; return x;"),
    "listen on a bad IPv6 address": in_server("listen [::z]:1883; return x;"),
    "listen on unix without a path": in_server("listen unix:; return x;"),
    "listen with a path": in_server("listen 1883/mqtt; return x;"),
    "listen without a host": in_server("listen :1883; return x;"),
    "listen on a name that is none": in_server("listen nothing.invalid:1883; return x;"),
    "listen with a bad backlog": in_server("listen 1883 backlog=0; return x;"),
    "listen with a bad rcvbuf": in_server("listen 1883 rcvbuf=1g; return x;"),
    "listen with a bad keepalive": in_server("listen 1883 so_keepalive=::; return x;"),
    "listen with a bad fastopen": in_server("listen 1883 fastopen=x; return x;"),
    "empty upstream": in_upstream(""),
    "only backups": in_upstream("server 127.0.0.1:1883 backup;"),
    "two upstreams of one name": in_stream(
        "upstream a { server 127.0.0.1:1; }\n  upstream A { server 127.0.0.1:2; }"
    ),
    "server without a port": in_upstream("server 127.0.0.1;"),
    "server of no such name": in_upstream("server nothing.invalid:1883;"),
    "server with weight 0": in_upstream("server 127.0.0.1:1 weight=0;"),
    "server with fail_timeout in ms": in_upstream("server 127.0.0.1:1 fail_timeout=500ms;"),
    "server with an unknown parameter": in_upstream("server 127.0.0.1:1 wait=3;"),
    "zone that is too small": in_upstream("server 127.0.0.1:1;\n    zone z 1k;"),
    "zone with a bad size": in_upstream("server 127.0.0.1:1; zone z 1x;"),
    "zone without a name": in_upstream('server 127.0.0.1:1; zone "" 1m;'),
    "zone without a size anywhere": in_upstream("server 127.0.0.1:1; zone z;"),
    "zones of two sizes": in_stream(
        "upstream a { server 127.0.0.1:1; zone z 64k; }"
        " upstream b { server 127.0.0.1:1; zone z 65k; }"
    ),
    "proxy_pass without a port": in_server("listen 1883; proxy_pass brokers;"),
    "proxy_pass of no such name": in_server("listen 1883; proxy_pass nothing.invalid:1883;"),
    "proxy_pass of a URL": in_server("listen 1883; proxy_pass http://127.0.0.1:80;"),
    "proxy_pass to port 0": in_server("listen 1883; proxy_pass 127.0.0.1:0;"),
    "proxy_pass twice": in_server("listen 1; proxy_pass 127.0.0.1:1; proxy_pass 127.0.0.1:2;"),
    "upstream with a port": in_stream(
        "upstream a { server 127.0.0.1:1; }\n  server { listen 1; proxy_pass a:5; }"
    ),
    "upstream with a port, named first": in_stream(
        "server { listen 1; proxy_pass a:5; }\n  upstream a { server 127.0.0.1:1; }"
    ),
    "time in years": in_server("listen 1883; return x; proxy_timeout 1y;"),
    "time in the wrong order": in_server("listen 1883; return x; proxy_timeout 1s 1m;"),
    "size in gigabytes": in_server("listen 1883; return x; proxy_buffer_size 1g;"),
    "rate of letters": in_server("listen 1883; return x; proxy_upload_rate fast;"),
    "tries of letters": in_server("listen 1883; return x; proxy_next_upstream_tries x;"),
    "proxy_bind of a name": in_server("listen 1883; return x; proxy_bind eth0;"),
    "proxy_bind with an unknown word": in_server(
        "listen 1; return x; proxy_bind 127.0.0.1 opaque;"
    ),
    "proxy_bind of transparent alone": in_server("listen 1; return x; proxy_bind transparent;"),
    "proxy_bind off and transparent": in_server("listen 1; return x; proxy_bind off transparent;"),
    "proxy_bind twice": in_server("listen 1; return x; proxy_bind off; proxy_bind 127.0.0.1;"),
    "valid proxy_bind off": in_server("listen 1; return x; proxy_bind off;"),
    "valid proxy_bind of another host": in_server("listen 1; return x; proxy_bind 203.0.113.1;"),
    "valid proxy_bind transparent": in_server(
        "listen 1; return x; proxy_bind $remote_addr transparent;"
    ),
    "proxy_bind to port 0": in_server("listen 1883; return x; proxy_bind 127.0.0.1:0;"),
    "lone dollar": in_server('listen 1883; return "a $ b";'),
    "unclosed variable": in_server('listen 1883; return "${status";'),
    "lone dollar in a log format": in_stream('log_format a "x $";'),
    "unknown escaping": in_stream('log_format a escape=xml "x";'),
    "log format twice": in_stream('log_format a "x";\n  log_format a "y";'),
    "access log without a format": in_stream("access_log logs/a.log;"),
    "access log of an unknown format": in_stream("access_log logs/a.log combined;"),
    "access log off and more": in_stream("access_log off x;"),
    "access log with a buffer of nothing": in_log("logs/a.log f buffer=0"),
    "access log with a bad buffer": in_log("logs/a.log f buffer=1g"),
    "access log with a bad flush": in_log("logs/a.log f buffer=1k flush=x"),
    "access log flushed without a buffer": in_log("logs/a.log f flush=1s"),
    "access log buffered with variables": in_log("logs/$pid.log f buffer=1k"),
    "access log with a bad compression": in_log("logs/a.log f gzip=0"),
    "access log with an unknown parameter": in_log("logs/a.log f sync"),
    "access log with a bad condition": in_log('logs/a.log f "if=${pid"'),
    "access log of a bad variable": in_log('"logs/${pid" f'),
    "access log with two buffers": in_log(
        "logs/a.log f buffer=1k; access_log logs/a.log f buffer=2k"
    ),
    "access log with one flush of two": in_log(
        "logs/a.log f buffer=1k; access_log logs/a.log f buffer=1k flush=1s"
    ),
    "open_log_file_cache without max": in_log("off; open_log_file_cache valid=1s"),
    "open_log_file_cache of 0": in_log("off; open_log_file_cache max=0"),
    "open_log_file_cache with a bad number": in_log("off; open_log_file_cache max=x"),
    "open_log_file_cache with milliseconds": in_log("off; open_log_file_cache max=1 valid=1ms"),
    "open_log_file_cache on": in_log("off; open_log_file_cache on"),
    "open_log_file_cache twice": in_log(
        "off; open_log_file_cache max=1; open_log_file_cache max=2"
    ),
    "valid access log in capital letters": in_log("logs/a.log F"),
    "valid access log twice, buffered once": in_log(
        "logs/a.log f; access_log logs/a.log f buffer=1k"
    ),
    "valid access log with everything": in_log(
        "logs/a.log f buffer=4k flush=1m30s if=$pid; open_log_file_cache max=3 inactive=1y"
    ),
    "hash without a key": in_upstream(f"hash; {TWO};"),
    "hash of three words": in_upstream(f"hash a consistent b; {TWO};"),
    "hash with an unknown parameter": in_upstream(f"hash $remote_addr ketama; {TWO};"),
    "hash of a lone dollar": in_upstream(f'hash "a $"; {TWO};'),
    "hash of an unclosed variable": in_upstream('hash "${remote_addr";'),
    "hash, then backup": in_upstream(f"hash $remote_addr; {TWO} backup;"),
    "hash, then backup and a bad word": in_upstream(f"hash $remote_addr; {TWO} backup wait=3;"),
    "consistent hash, then backup": in_upstream(f"hash $remote_addr consistent; {TWO} backup;"),
    "hash above the upstream": in_stream(f"hash $remote_addr; upstream a {{ {TWO}; }}"),
    "hash in a server": in_server("listen 1883; return x; hash $remote_addr;"),
    "hash at the top": "hash $remote_addr;\nevents {}\n",
    "hash and nothing else": in_upstream("hash $remote_addr;"),
    "least_conn with a word": in_upstream(f"least_conn x; {TWO};"),
    "least_conn, then hash, then backup": in_upstream(f"least_conn; hash a; {TWO} backup;"),
    "least_conn at the top": "least_conn;\nevents {}\n",
    "random of three": in_upstream(f"random three; {TWO};"),
    "random two of an unknown method": in_upstream(f"random two round_robin; {TWO};"),
    "random with a method but no two": in_upstream(f"random least_conn; {TWO};"),
    "random of four words": in_upstream(f"random two least_conn x; {TWO};"),
    "random, then backup": in_upstream(f"random; {TWO} backup;"),
    "random two, then backup": in_upstream(f"random two least_conn; {TWO} backup;"),
    "ip_hash with a word": in_http(f"ip_hash x; {TWO};"),
    "preread_buffer_size of letters": in_server("listen 1; return x; preread_buffer_size x;"),
    "preread_buffer_size in gigabytes": in_server("listen 1; return x; preread_buffer_size 1g;"),
    "preread_timeout in years": in_server("listen 1; return x; preread_timeout 1y;"),
    "preread_timeout twice": in_stream("preread_timeout 1s; preread_timeout 2s;"),
    "preread_timeout at the top": "preread_timeout 1s;\nevents {}\n",
    "allow nobody": in_stream("allow;"),
    "allow two": in_stream("allow 127.0.0.1 127.0.0.2;"),
    "allow a name": in_stream("allow localhost;"),
    "deny half an address": in_stream("deny 127.1;"),
    "deny a network of 33 bits": in_stream("deny 127.0.0.1/33;"),
    "deny a network of no bits": in_stream("deny 127.0.0.1/;"),
    "deny an IPv6 network of 129 bits": in_stream("deny ::1/129;"),
    "deny an address in brackets": in_stream("deny [::1];"),
    "deny a Unix socket by path": in_stream("deny unix:/run/x;"),
    "deny all in capitals": in_stream("deny ALL;"),
    "allow at the top": "allow all;\nevents {}\n",
    "limit zone without a size": in_stream("limit_conn_zone $remote_addr zone=x;"),
    "limit zone with an empty size": in_stream("limit_conn_zone $remote_addr zone=x:;"),
    "limit zone in gigabytes": in_stream("limit_conn_zone $remote_addr zone=x:1g;"),
    "limit zone that is too small": in_stream("limit_conn_zone $remote_addr zone=x:1k;"),
    "limit zone without a name": in_stream("limit_conn_zone $remote_addr zone=:1m;"),
    "limit zone of another word": in_stream("limit_conn_zone $remote_addr zon=x:1m;"),
    "limit zone before its key": in_stream("limit_conn_zone zone=x:1m $remote_addr;"),
    "limit zone alone": in_stream("limit_conn_zone $remote_addr;"),
    "limit zone with a lone dollar": in_stream("limit_conn_zone a$ zone=x:1m;"),
    "limit zone twice": in_stream(f"{LIMIT_ZONE} {LIMIT_ZONE}"),
    "limit zone of another size": in_stream(f"{LIMIT_ZONE} limit_conn_zone a zone=x:2m;"),
    "limit zone in a server": in_server(f"listen 1883; return x; {LIMIT_ZONE}"),
    "limit twice by one zone": in_stream(f"{LIMIT_ZONE} limit_conn x 1; limit_conn x 2;"),
    "limit of 0": in_stream(f"{LIMIT_ZONE} limit_conn x 0;"),
    "limit of letters": in_stream(f"{LIMIT_ZONE} limit_conn x a;"),
    "limit below 0": in_stream(f"{LIMIT_ZONE} limit_conn x -1;"),
    "limit of 65536": in_stream(f"{LIMIT_ZONE} limit_conn x 65536;"),
    "limit without a number": in_stream(f"{LIMIT_ZONE} limit_conn x;"),
    "limit twice before its zone": in_stream("limit_conn y 1; limit_conn y 0;"),
    "limit by the zone of an upstream": in_stream(
        "upstream a { zone x 1m; server 127.0.0.1:1; } limit_conn x 1;"
    ),
    "upstream with the zone of a limit": in_stream(
        f"{LIMIT_ZONE} upstream a {{ zone x 1m; server 127.0.0.1:1; }}"
    ),
    "limit level that is none": in_stream("limit_conn_log_level loud;"),
    "limit level that is too high": in_stream("limit_conn_log_level crit;"),
    "limit level twice": in_stream("limit_conn_log_level info; limit_conn_log_level info;"),
    "dry run that is neither": in_stream("limit_conn_dry_run maybe;"),
    "valid limit before its zone": in_stream(
        f"limit_conn x 65535; {LIMIT_ZONE} server {{ listen 1883; return x; limit_conn x 1; }}"
    ),
    "valid rules": in_server("listen 1883; return x; allow ::1/128; deny unix:; deny all;"),
    "valid low bits": in_server("listen 1883; return x; deny 10.1.2.3/8; deny fd00::1/8;"),
    "set_real_ip_from a long mask": in_server("listen 1; return x; set_real_ip_from 10.0.0.0/33;"),
    "set_real_ip_from a port": in_server("listen 1; return x; set_real_ip_from 10.0.0.1:80;"),
    "set_real_ip_from two": in_server("listen 1; return x; set_real_ip_from ::1 ::2;"),
    "set_real_ip_from a path": in_server("listen 1; return x; set_real_ip_from unix:/run/a;"),
    "set_real_ip_from nobody": in_stream("set_real_ip_from nobody.invalid;"),
    "valid set_real_ip_from a name": in_server(
        "listen 1 proxy_protocol; return x; set_real_ip_from localhost;"
    ),
    "set_real_ip_from at the top": "set_real_ip_from ::1;\nevents {}\n",
    "proxy_protocol_timeout of letters": in_stream("proxy_protocol_timeout x;"),
    "proxy_protocol_timeout twice": in_stream(
        "proxy_protocol_timeout 1s; proxy_protocol_timeout 2s;"
    ),
    "valid set_real_ip_from with low bits": in_stream("set_real_ip_from 10.0.0.1/8;"),
    "valid listen with a header": in_server(
        "listen 1883 proxy_protocol; return x; set_real_ip_from unix:; set_real_ip_from fd00::/8;"
    ),
    "valid hash below backup": in_upstream(f"{TWO} backup; hash $remote_addr;"),
    "valid random below backup": in_upstream(f"{TWO} backup; random two;"),
    "valid least_conn above backup": in_upstream(f"least_conn; {TWO} backup;"),
    "valid hash, then least_conn, then backup": in_upstream(f"hash a; least_conn; {TWO} backup;"),
    "valid hash of nothing": in_upstream(f'hash ""; {TWO};'),
    "valid capital letters in a variable": in_upstream(f"hash $Remote_ADDR; {TWO};"),
    "valid preread_timeout of 0": in_server("listen 1883; return x; preread_timeout 0;"),
    "valid file": in_server("listen 1883; return x;"),
    "valid odd words": in_stream('log_format a}b "${status}}" \'\\"\' \\;x;\n  # }\n'),
}

# Where nginx 1.22.1 says something else: our words, its words, and the reason.
DIFFERENT = {
    "listen with an unknown parameter": (
        in_server("listen 1883 fast; return x;"),
        'invalid parameter "fast" in FILE:4',
        'the invalid "fast" parameter in FILE:4',
        "nginx changed its words after 1.22",
    ),
    "listen twice": (
        in_server("listen 1883; listen *:1883; return x;"),
        "a duplicate listen 0.0.0.0:1883 in FILE:4",
        'duplicate "0.0.0.0:1883" address and port pair in FILE:4',
        "since 1.25.5 servers of stream share addresses, as those of http do",
    ),
    "unknown variable": (
        in_server("listen 1883; return $nothing;"),
        'unknown "nothing" variable in FILE:4',
        'unknown "nothing" variable',
        "nginx does not say where",
    ),
    "least_time": (
        in_upstream(f"least_time first_byte inflight; {TWO};"),
        "",
        'unknown directive "least_time" in FILE:4',
        "nginx has it since 1.31",
    ),
    "random two by time": (
        in_upstream(f"random two least_time=connect; {TWO};"),
        "",
        'invalid parameter "least_time=connect" in FILE:4',
        "NGINX Plus has it",
    ),
    "limit by an unknown zone": (
        in_server("listen 1883; return x; limit_conn y 1;"),
        'zero size shared memory zone "y" in FILE:4',
        'zero size shared memory zone "y"',
        "nginx does not say where",
    ),
    "limit zone of petabytes": (
        in_stream("limit_conn_zone $remote_addr zone=x:9999999999m;"),
        'zone "zone=x:9999999999m" is too large in FILE:3',
        "",
        "nginx fails when it asks for the memory",
    ),
    "address with empty octets": (
        in_stream("deny 1..2.3;"),
        'invalid parameter "1..2.3" in FILE:3',
        "",
        "nginx takes them for 0",
    ),
    "the broadcast address": (
        in_stream("deny 255.255.255.255;"),
        "",
        'invalid parameter "255.255.255.255" in FILE:3',
        "nginx takes it for an error of inet_addr",
    ),
    "second stream block": (
        in_stream("") + "stream {}\n",
        "",
        '"stream" directive is duplicate in FILE:5',
        "the page appends its blocks to the stock file, so they are merged",
    ),
    "listen without a port": (
        in_server("listen 127.0.0.1; return x;"),
        'no port in "127.0.0.1" of the "listen" directive in FILE:4',
        "",
        "nginx takes any free port, and no one can know which",
    ),
    "no worker": (
        "worker_processes 0;\nevents {}\n",
        '"worker_processes" directive invalid value in FILE:1',
        "",
        "nginx starts, and serves no one",
    ),
    "buffer of nothing": (
        in_server("listen 1883; return x; proxy_buffer_size 0;"),
        '"proxy_buffer_size" directive invalid value in FILE:4',
        "",
        "nginx starts, and relays nothing",
    ),
    "ip_hash in stream": (
        in_upstream(f"ip_hash; {TWO};"),
        "",
        '"ip_hash" directive is not allowed here in FILE:4',
        "the page has it in stream",
    ),
    "preread buffer of nothing": (
        in_server("listen 1883; return x; preread_buffer_size 0;"),
        '"preread_buffer_size" directive invalid value in FILE:4',
        "",
        "nginx starts, and refuses every client",
    ),
    "mqtt_preread": (
        in_server("listen 1883; return x; mqtt_preread on;"),
        "",
        'unknown directive "mqtt_preread" in FILE:4',
        "only NGINX Plus has it",
    ),
    "set_real_ip_from a part of an address": (
        in_server("listen 1 proxy_protocol; return x; set_real_ip_from 10.0.0;"),
        'host not found in set_real_ip_from "10.0.0" in FILE:4',
        "",
        "nginx takes it for 10.0.0.0",
    ),
    "long comment": (
        "# " + "x" * 5000 + "\nevents {}\n",
        "",
        'too long parameter "# xxxxxxxx..." started in FILE:1',
        "a comment costs nothing",
    ),
    "included folder": (
        "events {}\ninclude FOLDER;\n",
        'pread() "FOLDER" failed (21: Is a directory) in FILE:2',
        "",
        "nginx reports it as [crit], without a place",
    ),
    "several addresses": (
        in_server("listen 1883; return x; proxy_bind 127.0.0.1 127.0.0.2;"),
        "",
        'invalid parameter "127.0.0.2" in FILE:4',
        "an address without a free port gives way to the next",
    ),
    "deferred": (
        in_server("listen 1883 deferred; return x;"),
        "",
        'the invalid "deferred" parameter in FILE:4',
        "stream takes it since nginx 1.25.5",
    ),
}


@pytest.fixture
def prefix(tmp_path):
    (tmp_path / "logs").mkdir()
    return tmp_path


def said_by_nginx(prefix, text):
    """All lines, and whether the file passes."""
    file = prefix / "test.conf"
    file.write_text(text.replace("FOLDER", str(prefix / "logs")))
    globals_ = f"load_module {MODULE}; pid {prefix}/nginx.pid;"
    if "pid a" in text:
        globals_ = f"load_module {MODULE};"
    command = ["nginx", "-t", "-p", prefix, "-e", prefix / "logs/error.log"]
    done = subprocess.run(
        [*command, "-g", globals_, "-c", file], capture_output=True, text=True, check=False
    )
    return plain(done.stderr, prefix).splitlines(), done.returncode == 0


def ask_nginx(prefix, text):
    lines, passes = said_by_nginx(prefix, text)
    said = [line for line in lines if line.startswith("nginx: [emerg] ")]
    return Verdict(said[0].removeprefix("nginx: [emerg] ") if said else "", passes)


def ask_tidegate(prefix, text):
    file = prefix / "test.conf"
    file.write_text(text.replace("FOLDER", str(prefix / "logs")))
    loaded = load(str(file), prefix=str(prefix))
    error = loaded.first_error
    return Verdict(plain(error.words if error else "", prefix), loaded.model is not None)


def plain(words, prefix):
    return words.replace(f"{prefix}/test.conf", "FILE").replace(f"{prefix}/logs", "FOLDER")


@pytest.mark.parametrize("case", SAME)
def test_a_wrong_file_gets_nginx_words(prefix, case):
    expected = ask_nginx(prefix, SAME[case])
    assert ask_tidegate(prefix, SAME[case]) == expected
    assert expected.passes == case.startswith("valid")


@pytest.mark.parametrize("case", DIFFERENT)
def test_a_known_difference_is_still_one(prefix, case):
    text, ours, theirs, reason = DIFFERENT[case]
    assert reason
    assert ask_tidegate(prefix, text).words == ours
    assert ask_nginx(prefix, text).words == theirs


def test_an_unknown_user_gets_nginx_words(prefix):
    text = "user no-such-user;\nevents {}\n"
    assert ask_tidegate(prefix, text) == ask_nginx(prefix, text)


@pytest.mark.parametrize("backup", ["", " backup"])
def test_ip_hash_in_stream_has_the_words_that_nginx_has_in_http(prefix, backup):
    servers = f"ip_hash; {TWO}{backup};"
    ours, theirs = ask_tidegate(prefix, in_upstream(servers)), ask_nginx(prefix, in_http(servers))
    assert ours == theirs
    assert ours.passes == (not backup)


@pytest.mark.parametrize(
    "methods", ["hash a; hash b;", "hash a; least_conn;", "least_conn; random;", "random;\nrandom;"]
)
def test_a_second_method_gets_nginx_warning(prefix, methods):
    text = in_upstream(f"{methods} {TWO};")
    lines, passes = said_by_nginx(prefix, text)
    (warning,) = load(str(prefix / "test.conf"), prefix=str(prefix)).problems
    assert lines[0] == f"nginx: [warn] {plain(warning.words, prefix)}"
    assert passes
    assert not warning.fatal


def test_enough_wrong_files_are_compared():
    assert len(SAME) >= 45
