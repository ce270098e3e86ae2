"""What a former configuration had goes with its last session, without the garbage collector.

That looks at everything once in a thousand changes only; the places on the scoreboard would be
kept until then.
"""

import gc
import weakref

import pytest

from lab.http_rig import HttpRig
from lab.stream import StreamRig
from tidegate.config.model import Level

UPSTREAMS = (
    "upstream a { server 127.0.0.1:1; server 127.0.0.2:1 weight=2; }"
    "upstream b { least_conn; server 127.0.0.1:2 slow_start=9s; }"
    "upstream c { hash $remote_addr consistent; server 127.0.0.1:3; server 127.0.0.1:4; }"
    "upstream d { least_time last_byte inflight; server 127.0.0.1:5; }"
    "upstream e { random two least_conn; server 127.0.0.1:6; server 127.0.0.1:7; }"
    "map $remote_addr $to { default a; 10.0.0.1 b; }"
)
LOCATIONS = {
    "a node": "location / { proxy_pass http://a; }",
    "many locations": "location / { proxy_pass http://a; location /x { proxy_pass http://c; } }"
    " location = /y { return 200 $uri; } location ~ ^/z { proxy_pass http://d; }",
    "variables": "location / { set $x $arg_x; proxy_pass http://$to; }",
    "pages": "error_page 404 502 @other; location / { proxy_pass http://e; }"
    " location @other { return 503; } location /s { stub_status; } location /f { root /tmp; }",
    "mqtt": "location / { mqtt_preread on; proxy_pass http://b; }",
    "rules": "allow 127.0.0.1; deny all;"
    " location / { add_header X $remote_addr; proxy_set_header Y $host; proxy_pass http://a; }",
}
SERVERS = {
    "a node": "proxy_pass a;",
    "mqtt": "mqtt_preread on; mqtt_set_connect username $mqtt_preread_clientid; proxy_pass c;",
    "variables": "set $x $to; proxy_pass $to; proxy_bind 127.0.0.$x;",
    "limits": "limit_conn z 3; allow 127.0.0.1; deny all; proxy_pass d;",
    "sticky": "mqtt_preread on; proxy_pass s;",
    "an answer": "return $remote_addr;",
    "names of TLS": "ssl_preread on; proxy_pass e;",
}
MORE = (
    "limit_conn_zone $remote_addr zone=z:64k;"
    "upstream s { server 127.0.0.1:1; server 127.0.0.1:2;"
    " sticky learn create=$mqtt_preread_clientid lookup=$mqtt_preread_clientid zone=t:64k; }"
)


def left_of(rig):
    """The names of upstreams that outlive what was prepared."""
    gc.collect()
    gc.disable()
    try:
        known = {
            name: weakref.ref(upstream)
            for name, (_described, upstream) in rig.prepared.upstreams.items()
        }
        assert known
        rig.prepared = None
        return [name for name, upstream in known.items() if upstream() is not None]
    finally:
        gc.enable()


@pytest.mark.parametrize("text", LOCATIONS.values(), ids=LOCATIONS)
def test_nothing_of_http_is_left(tmp_path, text):
    server = f"server {{ listen 127.0.0.1:1; server_name a.test; {text} }}"
    assert left_of(HttpRig(UPSTREAMS + server, tmp_path, level=Level.ERROR)) == []


@pytest.mark.parametrize("text", SERVERS.values(), ids=SERVERS)
def test_nothing_of_stream_is_left(tmp_path, text):
    server = f"server {{ listen 127.0.0.1:1; {text} }}"
    assert left_of(StreamRig(UPSTREAMS + MORE + server, tmp_path, level=Level.ERROR)) == []
