"""How an upstream chooses is read as nginx reads it."""

import pytest

from tidegate.config.model import Hash, IpHash, LeastConn, LeastTime, Random, RoundRobin

BACKUP = 'balancing method does not support parameter "backup"'


def upstream(folder, text):
    (group,) = folder.stream(f"upstream a {{ {text} }}").upstreams
    return group


def told(folder, text):
    """All that is said of an upstream: severity and message."""
    loaded = folder.load(f"events {{}}\nstream {{ upstream a {{\n{text}\n}} }}")
    return [(problem.severity.name.lower(), problem.message) for problem in loaded.problems]


@pytest.mark.parametrize(
    ("line", "method"),
    [
        ("", RoundRobin()),
        ("ip_hash;", IpHash()),
        ("least_conn;", LeastConn()),
        ("least_time connect;", LeastTime(by="connect", inflight=False)),
        ("least_time first_byte inflight;", LeastTime(by="first_byte", inflight=True)),
        ("least_time last_byte;", LeastTime(by="last_byte", inflight=False)),
        ("random;", Random(two=False)),
        ("random two;", Random(two=True)),
        ("random two least_conn;", Random(two=True)),
        ("random two least_time=connect;", Random(two=True, by="connect")),
        ("random two least_time=first_byte;", Random(two=True, by="first_byte")),
        ("random two least_time=last_byte;", Random(two=True, by="last_byte")),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_method_is_taken_above_and_below_the_servers(folder, line, method, first):
    server = "server emqx1:1; server emqx2:1 weight=2 max_conns=3 max_fails=4 down;"
    text = f"{line} {server}" if first else f"{server} {line}"
    assert upstream(folder, text).method == method
    assert told(folder, text) == []


@pytest.mark.parametrize(
    ("words", "key", "consistent"),
    [
        ("$remote_addr", "$remote_addr", False),
        ("$mqtt_preread_clientid consistent", "$mqtt_preread_clientid", True),
        ('"a b$remote_addr${server_port}"', "a b$remote_addr$server_port", False),
        ('""', "", False),
    ],
)
def test_hash_has_a_key(folder, words, key, consistent):
    method = upstream(folder, f"hash {words}; server emqx1:1;").method
    assert isinstance(method, Hash)
    assert (str(method.key), method.consistent) == (key, consistent)


def test_a_group_of_proxy_pass_goes_round(folder):
    (group,) = folder.stream("server { listen 1; proxy_pass emqx1:1; }").upstreams
    assert group.method == RoundRobin()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hash $remote_addr ketama;", 'invalid parameter "ketama"'),
        ("random three;", 'invalid parameter "three"'),
        ("random two round_robin;", 'invalid parameter "round_robin"'),
        ("random two least_time;", 'invalid parameter "least_time"'),
        ("random two least_time=header;", 'invalid parameter "least_time=header"'),
        ("random least_time=connect;", 'invalid parameter "least_time=connect"'),
        ("hash $nothing;", 'unknown "nothing" variable'),
        ("ip_hash on;", 'invalid number of arguments in "ip_hash" directive'),
        ("least_time;", 'invalid number of arguments in "least_time" directive'),
        ("least_time header;", 'invalid value "header"'),
        ("least_time first_bite;", 'invalid value "first_bite"'),
        ("least_time connect busy;", 'invalid parameter "busy"'),
        ("least_time header busy;", 'invalid parameter "busy"'),
        ("least_time connect inflight 1;", 'invalid number of arguments in "least_time" directive'),
    ],
)
def test_a_wrong_method_is_an_error(folder, text, message):
    assert told(folder, f"{text} server emqx1:1;") == [("emerg", message)]


def test_of_two_methods_the_last_counts_with_a_warning(folder):
    text = "hash $remote_addr;\nleast_conn; server emqx1:1;"
    loaded = folder.load(f"events {{}} stream {{ upstream a {{ {text} }} }}")
    (warning,) = loaded.problems
    assert (warning.message, warning.span.line) == ("load balancing method redefined", 2)
    assert warning.hint == '"hash" above has no effect'
    assert loaded.model.stream.upstreams[0].method == LeastConn()


@pytest.mark.parametrize("method", ["hash $remote_addr", "ip_hash", "random", "random two"])
class TestBackup:
    SERVERS = "server emqx1:1 backup; server emqx2:1;"

    def test_below_the_method_it_is_refused(self, folder, method):
        text = f"{method}; {self.SERVERS}"
        loaded = folder.load(f"events {{}} stream {{ upstream a {{ {text} }} }}")
        (error,) = loaded.problems
        assert error.words == f"{BACKUP} in {folder.path}/tidegate.conf:1"
        assert error.span.column == loaded.line(error.span).index("backup") + 1

    def test_above_the_method_it_is_warned_of(self, folder, method):
        assert told(folder, f"{self.SERVERS} {method};") == [("warn", BACKUP)]

    def test_the_last_method_so_far_says_if_it_may(self, folder, method):
        redefined = ("warn", "load balancing method redefined")
        assert told(folder, f"{method}; least_conn; {self.SERVERS}") == [redefined]
        assert told(folder, f"least_conn; {method}; {self.SERVERS}") == [
            redefined,
            ("emerg", BACKUP),
        ]


def test_least_conn_has_backups(folder):
    assert told(folder, "least_conn; server emqx1:1 backup; server emqx2:1;") == []


@pytest.mark.parametrize("place", ["", "stream {", "stream { server {"])
def test_a_method_outside_of_an_upstream_says_where_it_belongs(folder, place):
    loaded = folder.load(f"events {{}} {place} ip_hash; {'}' * place.count('{')}")
    error = loaded.first_error
    assert error.message == '"ip_hash" directive is not allowed here'
    assert 'in "upstream {}" of "stream {}"' in error.hint


def test_least_time_twice_is_an_error_behind_the_warning(folder):
    text = "least_time connect; least_time connect; server emqx1:1 backup; server emqx2:1;"
    assert told(folder, text) == [
        ("warn", "load balancing method redefined"),
        ("emerg", '"least_time" directive is duplicate'),
    ]


def test_least_time_has_backups(folder):
    assert told(folder, "least_time connect; server emqx1:1 backup; server emqx2:1;") == []


@pytest.mark.parametrize(
    ("words", "at", "hint"),
    [
        ("least_time soon;", "soon", "there are: connect, first_byte, last_byte"),
        ("least_time connect busy;", "busy", 'the only parameter is "inflight"'),
        (
            "random two least_time;",
            "least_time",
            (
                'the methods for "two" are: least_conn, least_time=connect, '
                "least_time=first_byte, least_time=last_byte"
            ),
        ),
    ],
)
def test_what_is_wrong_with_least_time_is_pointed_at(folder, words, at, hint):
    loaded = folder.load(f"events {{}} stream {{ upstream a {{ {words} server emqx1:1; }} }}")
    (error,) = loaded.problems
    assert error.span.column == loaded.line(error.span).index(at) + 1
    assert error.hint == hint


class TestHttp:
    def of(self, folder, line):
        return folder.load(f"events {{}} http {{ upstream a {{ {line} server emqx1:1; }} }}")

    @pytest.mark.parametrize(
        ("line", "method"),
        [
            ("least_time header;", LeastTime(by="header", inflight=False)),
            ("least_time last_byte inflight;", LeastTime(by="last_byte", inflight=True)),
            ("random two least_time=header;", Random(two=True, by="header")),
            ("random two least_time=last_byte;", Random(two=True, by="last_byte")),
        ],
    )
    def test_http_has_times_of_its_own(self, folder, line, method):
        loaded = self.of(folder, line)
        assert not loaded.problems
        assert loaded.model.http.upstreams[0].method == method

    @pytest.mark.parametrize("line", ["least_time connect;", "least_time first_byte;"])
    def test_those_of_stream_are_unknown(self, folder, line):
        (error,) = self.of(folder, line).problems
        assert error.message == f'invalid value "{line.split()[1][:-1]}"'
        assert error.hint == "there are: header, last_byte"
