"""`stream {}` becomes servers with addresses, contents and what they inherit."""

import socket

import pytest

from tidegate.config.model import Keepalive, Level, LogBuffer, OpenLogFiles, Proxy, Return


def addresses(server):
    return [listen.address.text for listen in server.listens]


def test_a_second_stream_is_merged_into_the_first(folder):
    one = "stream { server { listen 1; return x; } }\n"
    two = "stream { server { listen 2; proxy_pass a; } upstream a { server 127.0.0.1:1; } }\n"
    assert len(folder.model(f"events {{}}\n{one}").stream.servers) == 1
    loaded = folder.load(f"events {{}}\n{one}{two}")
    assert len(loaded.model.stream.servers) == 2
    (warning,) = loaded.problems
    name = f"{folder.path}/tidegate.conf"
    assert warning.words == (
        f'"stream" directive is duplicate, merged into the one in {name}:2 in {name}:3'
    )
    twice = "stream { server { listen 1; return x; } }\n"
    assert 'conflicting server name "" on 0.0.0.0:1, ignored' in folder.warnings(
        f"events {{}}\n{one}{twice}"
    )


def test_servers_keep_their_order_and_addresses(folder):
    servers = folder.stream(
        """
        server { listen 1883; listen [::]:1883; return a; }
        server { listen 127.0.0.1:1884; listen unix:/run/x.sock; return b; }
        server { listen *:1890-1892; listen both:7; return c; }
        """
    ).servers
    assert [addresses(server) for server in servers] == [
        ["0.0.0.0:1883", "[::]:1883"],
        ["127.0.0.1:1884", "unix:/run/x.sock"],
        ["0.0.0.0:1890", "0.0.0.0:1891", "0.0.0.0:1892", "10.0.0.3:7", "[fd00::3]:7"],
    ]
    assert servers[1].span.line == 5


class TestListen:
    def test_defaults(self, folder):
        one, six = folder.server("listen 1883; listen [0:0::1]:1883; return x;").listens
        assert (one.backlog, one.reuseport, one.deferred) == (511, False, False)
        assert one.fastopen is one.rcvbuf is one.sndbuf is one.keepalive is one.ipv6only is None
        assert six.address.host == "::1"
        assert six.address.family == socket.AF_INET6
        assert six.ipv6only is True

    def test_every_parameter(self, folder):
        (one,) = folder.server(
            "listen [::]:1883 backlog=5 reuseport deferred fastopen=3 ipv6only=off"
            " rcvbuf=4k sndbuf=1m bind so_keepalive=30m::10; return x;"
        ).listens
        assert (one.backlog, one.reuseport, one.deferred) == (5, True, True)
        assert (one.fastopen, one.ipv6only, one.rcvbuf, one.sndbuf) == (3, False, 4096, 1 << 20)
        assert one.keepalive == Keepalive(on=True, idle=1800, interval=None, count=10)

    @pytest.mark.parametrize(("word", "on"), [("on", True), ("off", False)])
    def test_keepalive_may_be_left_to_the_kernel(self, folder, word, on):
        (one,) = folder.server(f"listen 1883 so_keepalive={word}; return x;").listens
        assert one.keepalive == Keepalive(on=on)

    @pytest.mark.parametrize("word", ["udp", "multipath"])
    def test_what_comes_later_is_refused_by_name(self, folder, word):
        text = f"events {{}} stream {{ server {{ listen 1883 {word}; return x; }} }}"
        assert folder.errors(text) == [f'"listen ... {word}" is not supported yet']

    def test_a_name_whose_addresses_repeat_listens_once(self, folder):
        from tidegate.wire.address import Address  # noqa: PLC0415

        address = Address(family=socket.AF_INET, host="10.0.0.9", port=5)
        server = folder.server("listen x:5; return x;", resolve=lambda *_: [address, address])
        assert addresses(server) == ["10.0.0.9:5"]

    def test_a_flood_of_ports_is_refused(self, folder):
        text = "events {} stream { server { listen 1-65535; return x; } }"
        (error,) = folder.errors(text)
        assert error.startswith("more than 1024 addresses")


class TestProxy:
    def proxy(self, folder, text, around=""):
        stream = folder.stream(f"{around} server {{ listen 1; proxy_pass emqx1:1883; {text} }}")
        assert isinstance(stream.servers[0].content, Proxy)
        return stream.servers[0].content

    def test_defaults_are_nginx_s(self, folder):
        proxy = self.proxy(folder, "")
        assert proxy.upstream == "emqx1:1883"
        assert (proxy.connect_timeout_ms, proxy.timeout_ms) == (60_000, 600_000)
        assert (proxy.buffer_size, proxy.upload_rate, proxy.download_rate) == (16384, 0, 0)
        assert (proxy.protocol, proxy.bind, proxy.socket_keepalive) == (False, None, False)
        assert (proxy.next_upstream, proxy.half_close) == (True, False)
        assert not proxy.session_drop
        assert (proxy.next_upstream_tries, proxy.next_upstream_timeout_ms) == (0, 0)

    def test_every_value_reaches_the_model(self, folder):
        proxy = self.proxy(
            folder,
            """
            proxy_connect_timeout 10s; proxy_timeout 1800s; proxy_buffer_size 3M;
            proxy_protocol on; proxy_bind 127.0.0.2; proxy_next_upstream off;
            proxy_next_upstream_tries 2; proxy_next_upstream_timeout 300ms;
            proxy_socket_keepalive on; proxy_half_close on; proxy_session_drop on;
            proxy_upload_rate 10k; proxy_download_rate 20k;
            """,
        )
        assert (proxy.connect_timeout_ms, proxy.timeout_ms) == (10_000, 1_800_000)
        assert (proxy.buffer_size, proxy.protocol) == (3 << 20, 1)
        assert [str(one) for one in proxy.bind.addresses] == ["127.0.0.2"]
        assert (proxy.next_upstream, proxy.next_upstream_tries) == (False, 2)
        assert proxy.next_upstream_timeout_ms == 300
        assert (proxy.socket_keepalive, proxy.half_close) == (True, True)
        assert proxy.session_drop
        assert (proxy.upload_rate, proxy.download_rate) == (10240, 20480)

    def test_a_server_inherits_what_it_does_not_say(self, folder):
        around = "proxy_timeout 5s; proxy_protocol on; proxy_bind 127.0.0.3;"
        inherited = self.proxy(folder, "", around)
        assert (inherited.timeout_ms, inherited.protocol) == (5_000, 1)
        assert [str(one) for one in inherited.bind.addresses] == ["127.0.0.3"]
        own = self.proxy(folder, "proxy_timeout 6s; proxy_protocol off; proxy_bind off;", around)
        assert (own.timeout_ms, own.protocol, own.bind) == (6_000, 0, None)

    def test_proxy_protocol_has_two_versions(self, folder):
        assert self.proxy(folder, "proxy_protocol v2;").protocol == 2
        text = "events {} stream { server { listen 1; proxy_pass emqx1:1; proxy_protocol v3; } }"
        (problem,) = folder.load(text).problems
        assert problem.message == (
            'invalid value "v3" in "proxy_protocol" directive, it must be "on" or "off"'
        )

    def test_what_stands_behind_a_server_counts_for_it_too(self, folder):
        text = "server { listen 1; proxy_pass emqx1:1; } proxy_timeout 7s;"
        assert folder.stream(text).servers[0].content.timeout_ms == 7_000

    @pytest.mark.parametrize(
        "text", ["127.0.0.1", "127.0.0.1:99", "::1", "[::1]:99", "$remote_addr", "a$remote_port"]
    )
    def test_proxy_bind_takes_addresses_and_variables(self, folder, text):
        assert self.proxy(folder, f"proxy_bind {text};").bind is not None

    def test_proxy_pass_takes_variables(self, folder):
        server = folder.server("listen 1; proxy_pass $remote_addr:1883;")
        assert str(server.content.upstream) == "$remote_addr:1883"

    def test_of_proxy_pass_and_return_the_last_counts(self, folder):
        assert isinstance(folder.server("listen 1; return x; proxy_pass emqx1:1;").content, Proxy)
        assert isinstance(folder.server("listen 1; proxy_pass emqx1:1; return x;").content, Return)


def test_return_may_hold_variables(folder):
    content = folder.server('listen 1; return "hi ${remote_addr}\\n";').content
    assert [getattr(part, "name", part) for part in content.value.parts] == [
        "hi ",
        "remote_addr",
        "\n",
    ]
    assert folder.server('listen 1; return "";').content.value.constant == ""


def test_tcp_nodelay_is_on_unless_it_is_off(folder):
    assert folder.server("listen 1; return x;").tcp_nodelay is True
    assert folder.server("listen 1; return x; tcp_nodelay off;").tcp_nodelay is False


class TestLogs:
    def test_a_server_s_own_error_logs_replace_those_around(self, folder, tmp_path):
        def logs(outer, own):
            model = folder.model(
                f"error_log main.log; events {{}}"
                f" stream {{ {outer} server {{ listen 1; return x; {own} }} }}"
            )
            return [(log.path, log.level) for log in model.stream.servers[0].error_logs]

        assert logs("", "") == [(f"{tmp_path}/main.log", Level.ERROR)]
        assert logs("error_log stderr warn;", "") == [(None, Level.WARN)]
        assert logs("error_log stderr warn;", "error_log /x crit; error_log /y;") == [
            ("/x", Level.CRIT),
            ("/y", Level.ERROR),
        ]

    def test_access_logs_are_inherited_as_a_whole(self, folder, tmp_path):
        def logs(outer, own):
            formats = "log_format a $status; log_format b escape=json x $pid;"
            text = f"{formats} {outer} server {{ listen 1; return x; {own} }}"
            found = folder.stream(text).servers[0].access_logs
            return [(log.path, log.format.name, log.format.escape) for log in found]

        assert logs("", "") == []
        assert logs("access_log /o a;", "") == [("/o", "a", "default")]
        assert logs("access_log /o a;", "access_log p b; access_log /q a;") == [
            (f"{tmp_path}/p", "b", "json"),
            ("/q", "a", "default"),
        ]
        assert logs("access_log /o a;", "access_log off;") == []
        assert logs("access_log off;", "access_log /q a;") == [("/q", "a", "default")]

    def test_the_parts_of_a_format_are_joined(self, folder):
        text = "log_format f 'a $pid' b '${status}c';"
        (server,) = folder.stream(
            f"{text} server {{ listen 1; return x; access_log l f; }}"
        ).servers
        parts = server.access_logs[0].format.template.parts
        assert [getattr(part, "name", part) for part in parts] == ["a ", "pid", "b", "status", "c"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "syslog:server=1.1.1.1 f buffer=1k",
                'parameter "buffer=1k" is not supported by syslog',
            ),
            ("l f gzip", 'parameter "gzip" of "access_log" is not supported yet'),
            ("l f gzip=10", 'invalid compression level "10"'),
            ("l f if=$x", 'unknown "x" variable'),
            ("/l/$x f", 'unknown "x" variable'),
            ("l f buffer=x", 'invalid buffer size "x"'),
            ("l f flush=0", 'invalid flush time "0"'),
            ("l f flush=1s", 'no buffer is defined for access_log "l"'),
            ("l$pid f buffer=1k", "buffered logs cannot have variables in name"),
            ("l f sync", 'invalid parameter "sync"'),
        ],
    )
    def test_what_is_wrong_in_access_log_is_told(self, folder, text, message):
        stream = f"stream {{ log_format f x; access_log {text}; }}"
        assert folder.errors(f"events {{}} {stream}") == [message]

    def test_one_file_has_one_buffer(self, folder):
        def logs(*words):
            lines = "".join(f"access_log {word};" for word in words)
            return f"log_format f x; log_format g x; server {{ listen 1; return x; {lines} }}"

        (server,) = folder.stream(
            logs("l f buffer=1k flush=5s", "l g", "l f buffer=1k flush=5s")
        ).servers
        assert {log.buffer for log in server.access_logs} == {LogBuffer(size=1024, flush_ms=5000)}
        text = f"events {{}} stream {{ {logs('l f buffer=1k', 'l f buffer=2k')} }}"
        assert folder.errors(text) == ['access_log "l" already defined with conflicting parameters']

    def test_a_path_with_variables_begins_at_the_root(self, folder, tmp_path):
        text = "log_format f x; server { listen 1; return x; access_log %s F if=$pid; }"
        for path, whole in (
            ("logs/$pid.log", f"{tmp_path}/logs/$pid.log"),
            ("$pid", f"{tmp_path}/$pid"),
            ("/l/$pid", "/l/$pid"),
        ):
            (log,) = folder.stream(text % path).servers[0].access_logs
            assert str(log.name) == log.path == whole
            assert str(log.condition) == "$pid"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("max=x", 'invalid "open_log_file_cache" parameter "max=x"'),
            ("valid=1s", '"open_log_file_cache" must have "max" parameter'),
            ("max=1 valid=1ms", 'invalid "open_log_file_cache" parameter "valid=1ms"'),
            ("on", 'invalid "open_log_file_cache" parameter "on"'),
        ],
    )
    def test_what_is_wrong_in_open_log_file_cache_is_told(self, folder, text, message):
        stream = f"stream {{ open_log_file_cache {text}; }}"
        assert folder.errors(f"events {{}} {stream}") == [message]

    def test_open_log_file_cache_is_for_paths_with_variables(self, folder):
        def caches(outer, own):
            logs = "log_format f x; access_log l f; access_log $pid f;"
            text = f"{logs} {outer} server {{ listen 1; return x; {own} }}"
            return [log.cache for log in folder.stream(text).servers[0].access_logs]

        some = OpenLogFiles(limit=9, inactive=20, min_uses=2, valid=60)
        assert caches("", "") == [None, None]
        assert caches("open_log_file_cache max=9 inactive=20s min_uses=2;", "") == [None, some]
        assert caches("open_log_file_cache max=9;", "open_log_file_cache off;") == [None, None]


class TestVariables:
    def test_an_unknown_one_is_told_once_with_its_place_and_the_nearest(self, folder):
        loaded = folder.load(
            "events {}\nstream {\n log_format a '$remote_adr\n $remote_adr';\n"
            " server { listen 1; return $nonsense_name; } }"
        )
        one, two = loaded.problems
        assert (one.message, one.span.line) == ('unknown "remote_adr" variable', 3)
        assert one.hint == 'did you mean "remote_addr"?'
        assert two.message == 'unknown "nonsense_name" variable'

    @pytest.mark.parametrize("name", ["ssl_client_sigalg", "ssl_sigalgs"])
    def test_one_that_comes_later_is_refused_by_name(self, folder, name):
        text = f"events {{}} stream {{ server {{ listen 1; return ${name}; }} }}"
        assert folder.errors(text) == [f'the "{name}" variable is not supported yet']

    def test_capital_and_small_letters_are_the_same(self, folder):
        content = folder.server("listen 1; return $Remote_ADDR;").content
        assert str(content.value) == "$remote_addr"
        text = "map $remote_addr $X { default 1; ~^x}y$ 1; } server { listen 1; return $x; }"
        assert folder.errors(f"events {{}} stream {{ {text} }}") == []

    def test_one_that_a_refused_directive_makes_is_not_told_twice(self, folder):
        text = "keyval $remote_addr $x zone=a; server { listen 1; return $x; }"
        assert folder.errors(f"events {{}} stream {{ {text} }}") == [
            '"keyval" directive is not supported yet'
        ]
