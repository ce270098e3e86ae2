"""`slow_start=TIME` of a `server` is read as nginx's parameters are read."""

import pytest

MOST = 2**31 - 1
SERVERS = "server emqx1:1 slow_start=30s; server emqx2:1;"
WITHOUT = [
    *("hash $remote_addr", "hash $remote_addr consistent", "ip_hash"),
    *("random", "random two", "random two least_time=last_byte"),
]


def load(folder, text, *, block="stream"):
    return folder.load(f"events {{}} {block} {{ upstream a {{ {text} }} }}")


def times(loaded, block="stream"):
    (group,) = getattr(loaded.model, block).upstreams
    return [peer.slow_start_ms for peer in group.peers]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("30s", 30_000),
        ("45", 45_000),
        ("500ms", 500),
        ("1m30s", 90_000),
        ("0", 0),
        ("90d", 2**31 - 1),
    ],
)
def test_it_is_a_time(folder, text, milliseconds):
    loaded = load(folder, f"server emqx1:1 slow_start={text}; server emqx2:1;")
    assert times(loaded) == [milliseconds, 0]


@pytest.mark.parametrize("block", ["stream", "http"])
@pytest.mark.parametrize("method", ["", "least_conn;", "least_time last_byte;"])
def test_round_robin_least_conn_and_least_time_have_it(folder, block, method):
    loaded = load(folder, f"{method} {SERVERS}", block=block)
    assert loaded.problems == ()
    assert times(loaded, block) == [30_000, 0]


@pytest.mark.parametrize("text", ["", "x", "10q", "-1", "1.5"])
def test_what_is_no_time_is_an_error(folder, text):
    loaded = load(folder, f"server emqx1:1 slow_start={text};")
    (error,) = loaded.problems
    assert error.message == f'invalid parameter "slow_start={text}"'
    assert error.hint == "it is a time, as in 30s or 2m"
    assert error.span.column == loaded.line(error.span).index("slow_start") + 1


def test_without_a_time_it_is_no_parameter(folder):
    loaded = load(folder, "server emqx1:1 slow_start;")
    assert [problem.message for problem in loaded.problems] == ['invalid parameter "slow_start"']


@pytest.mark.parametrize("method", WITHOUT)
@pytest.mark.parametrize("block", ["stream", "http"])
def test_methods_with_fixed_shares_refuse_it_below_them(folder, method, block):
    loaded = load(folder, f"{method}; {SERVERS}", block=block)
    (error,) = loaded.problems
    word = "slow_start=30s"
    assert error.message == f'balancing method does not support parameter "{word}"'
    assert error.severity.name == "EMERG"
    assert error.span.column == loaded.line(error.span).index(word) + 1


@pytest.mark.parametrize("method", WITHOUT)
def test_above_them_it_is_warned_of_and_without_effect(folder, method):
    loaded = load(folder, f"{SERVERS} {method};")
    (warning,) = loaded.problems
    words = 'balancing method does not support parameter "slow_start"'
    assert (warning.severity.name, warning.message) == ("WARN", words)
    assert times(loaded) == [0, 0]
