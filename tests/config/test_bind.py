"""`proxy_bind`: one address or several, `transparent`, and those that this host has not."""

import re
import socket
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs/source-addresses.md").read_text()
ELSEWHERE = "203.0.113.1"  # a network for documentation: no host has it


@pytest.fixture
def bind(folder):
    """The model of a `proxy_bind`, with blocks around it."""

    def bind(text, *, around=""):
        stream = folder.stream(
            f"{around} server {{ listen 1; proxy_pass 127.0.0.1:1; proxy_bind {text}; }}"
        )
        return stream.servers[0].content.bind

    return bind


def problems(folder, text):
    """Severity, message and column of what is wrong with a `proxy_bind` on the third line."""
    loaded = folder.load(
        f"events {{}} stream {{ server {{ listen 1; return x;\n\nproxy_bind {text}; }} }}"
    )
    assert all(problem.span.line == 3 for problem in loaded.problems)
    return [(one.severity.name, one.message, one.span.column) for one in loaded.problems]


def test_several_addresses_keep_their_order(bind):
    found = bind("127.0.0.2 $remote_addr 127.0.0.3 [::1]:99")
    assert [str(one) for one in found.addresses] == [
        "127.0.0.2",
        "$remote_addr",
        "127.0.0.3",
        "[::1]:99",
    ]
    assert not found.transparent


def test_an_address_that_is_written_twice_counts_once(bind):
    assert len(bind("127.0.0.2 127.0.0.3 127.0.0.2").addresses) == 2


@pytest.mark.parametrize("text", ["$remote_addr", ELSEWHERE, f"127.0.0.2 {ELSEWHERE}"])
def test_transparent_stands_at_the_end(bind, text):
    found = bind(f"{text} transparent")
    assert found.transparent
    assert len(found.addresses) == len(text.split())


def test_off_ends_what_is_inherited(bind):
    assert bind("off", around="proxy_bind 127.0.0.2 127.0.0.3;") is None


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("eth0", 'invalid address "eth0"', 12),
        ("transparent", 'invalid address "transparent"', 12),
        ("off transparent", 'invalid address "off"', 12),
        ("127.0.0.1:0", 'invalid address "127.0.0.1:0"', 12),
        ("unix:/a", 'invalid address "unix:/a"', 12),
        ("127.0.0.1 opaque", 'invalid parameter "opaque"', 22),
        ("127.0.0.1 off", 'invalid parameter "off"', 22),
        ("127.0.0.1 transparent 127.0.0.2", 'invalid parameter "transparent"', 22),
        ("127.0.0.1 300.0.0.1", 'invalid parameter "300.0.0.1"', 22),
    ],
)
def test_what_is_no_address_is_refused_at_its_place(folder, text, message, column):
    assert problems(folder, text) == [("EMERG", message, column)]


@pytest.mark.parametrize(
    ("text", "column"),
    [(ELSEWHERE, 12), (f"{ELSEWHERE}:99", 12), (f"127.0.0.1 {ELSEWHERE}", 22), ("2001:db8::1", 12)],
)
def test_an_address_that_is_not_ours_is_a_warning(folder, text, column):
    word = text.split()[-1]
    message = f'"{word}" in "proxy_bind" is no address of this host'
    assert problems(folder, text) == [("WARN", message, column)]


def test_the_warning_names_what_a_session_would_meet(folder):
    text = f"events {{}} stream {{ server {{ listen 1; return x; proxy_bind {ELSEWHERE}; }} }}"
    (problem,) = folder.load(text).problems
    assert f"bind({ELSEWHERE}) failed (99: Cannot assign requested address)" in problem.hint


@pytest.mark.parametrize("text", ["127.0.0.9", "127.0.0.9:1", f"{ELSEWHERE} transparent"])
def test_what_can_be_bound_is_no_warning(folder, text):
    assert problems(folder, text) == []


def test_an_address_whose_port_is_taken_is_still_ours(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert problems(folder, f"127.0.0.1:{taken.getsockname()[1]}") == []


SPLIT = f'split_clients $remote_addr $to {{ 20% 127.0.0.2; 20% {ELSEWHERE}; 20% eth0; * ""; }}'


def told(folder, bind, variable):
    """What is wrong with a `proxy_bind` on the second line, above the variable that it holds."""
    server = f"server {{ listen 1; return x;\n proxy_bind {bind}; }}"
    loaded = folder.load(f"events {{}} stream {{ {server}\n{variable} }}")
    assert all(one.span.line == 2 for one in loaded.problems)
    return [one.message for one in loaded.problems]


@pytest.mark.parametrize("text", ["$to", "127.0.0.1 ${To}"])
@pytest.mark.parametrize(
    "variable",
    [
        SPLIT,
        f"map $remote_addr $to {{ a {ELSEWHERE}; ~x eth0; z $server_addr; default 127.0.0.2; }}",
        f"geo $to {{ 10.0.0.0/8 {ELSEWHERE}; 11.0.0.0/8 eth0; default 127.0.0.2; }}",
    ],
    ids=["split_clients", "map", "geo"],
)
def test_values_that_are_not_ours_are_a_warning_where_they_are_used(folder, text, variable):
    [message] = told(folder, text, variable)
    assert message.endswith(
        f'" in "proxy_bind" may be {ELSEWHERE}, eth0: no addresses of this host'
    )


@pytest.mark.parametrize(
    "text",
    [
        "$to transparent",
        "$to:99",  # what comes of parts is not known before a session
        "$remote_addr",
    ],
)
def test_values_that_nobody_can_judge_are_none(folder, text):
    assert told(folder, text, SPLIT) == []


def test_a_warning_of_many_values_names_a_few(folder):
    parts = " ".join(f"1% 203.0.113.{number};" for number in range(1, 10))
    [message] = told(folder, "$to", f"split_clients $remote_addr $to {{ {parts} }}")
    assert "203.0.113.5, and 4 more: no addresses" in message


@pytest.mark.parametrize("snippet", re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL))
def test_the_page_shows_what_is_read(folder, snippet):
    loaded = folder.load(f"events {{}} {snippet}")
    assert loaded.model is not None
    assert all(" of this host" in problem.message for problem in loaded.problems)
