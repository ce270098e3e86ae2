"""Plain heads: whatever is read without llhttp is read as llhttp reads it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidegate.http.uri import read_target
from tidegate.variables.server_names import host_of
from tidegate.wire import request_head, response_head
from tidegate.wire.fields import words
from tidegate.wire.head import Fields, plain_request, plain_response

UPGRADE = (
    b"GET /mqtt?a=1 HTTP/1.1\r\nHost: Broker.example:8083\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)
LINE, MOST = 200, 400

NAMES = st.sampled_from(
    [
        *(b"Host", b"host", b"Connection", b"Upgrade", b"Expect", b"Content-Length", b"X-Y"),
        *(b"Transfer-Encoding", b"Proxy-Connection", b"x_y", b"Cookie", b"", b"A B", b"\xe9"),
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            *(b"a.example", b"A.example:80", b"a..b", b"a.", b"[::1]", b"a:b", b"", b"upgrade"),
            *(b"Upgrade, close", b"5", b"chunked", b"100-continue", b"a\tb", b"a\0", b"\xff"),
        ]
    ),
    st.binary(max_size=8),
)
SPACES = st.sampled_from([b"", b" ", b" ", b"\t", b"  "])
ENDS = st.sampled_from([*[b"\r\n"] * 12, b"\n", b"\r", b"\r\n "])
FIELD = st.tuples(NAMES, st.sampled_from([*[b":"] * 9, b" :", b""]), SPACES, VALUES, SPACES, ENDS)
VISIBLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)
MILD = st.tuples(
    st.sampled_from([b"Connection", b"Upgrade", b"Expect", b"X-Y", b"-", b"9", b"Cookie"]),
    st.just(b":"),
    SPACES,
    st.one_of(VALUES, VISIBLE.map(str.encode)),
    SPACES,
    st.just(b"\r\n"),
)
FIELDS = st.one_of(
    st.lists(MILD.map(b"".join), max_size=3).map(b"".join),
    st.lists(FIELD.map(b"".join), max_size=6).map(b"".join),
)
TARGETS = st.one_of(
    st.sampled_from(
        [
            *(b"/mqtt", b"/", b"/a?b", b"/a#b", b"/%41", b"//", b"/./a", b"/a/..", b"*"),
            *(b"/a?/../", b"/\xe9", b"http://h/x", b"/a b", b"/.a", b"/a?b?c", b'/"<>', b"/a?#"),
        ]
    ),
    st.binary(max_size=6).map(b"/".__add__),
)
LINES = st.tuples(
    st.sampled_from([*[b"GET "] * 9, b"POST ", b"GET  ", b"get ", b"\r\nGET "]),
    TARGETS,
    st.sampled_from([*[b" HTTP/1.1"] * 9, b" HTTP/1.0", b" HTTP/1.1 ", b" HTTP/2.0", b""]),
    ENDS,
).map(b"".join)
MILD_LINES = TARGETS.map(lambda target: b"GET " + target + b" HTTP/1.1\r\n")
REQUESTS = st.tuples(
    st.one_of(MILD_LINES, LINES),
    st.one_of(
        st.sampled_from([b"", b"Host: a\r\n"]), VALUES.map(lambda host: b"host:" + host + b"\r\n")
    ),
    FIELDS,
    st.sampled_from([b"\r\n", b"\r\n", b"\r\nmore", b"\r", b""]),
).map(b"".join)
STATUS_LINES = st.tuples(
    st.sampled_from([*[b"HTTP/1.1 "] * 9, b"HTTP/1.0 ", b"HTTP/1.1", b"HTTP/1.1  "]),
    st.sampled_from([b"101", b"200", b"204", b"304", b"100", b"099", b"2x0", b"1011", b"999"]),
    st.sampled_from([*[b" Fine"] * 9, b" ", b"", b" a\tb", b" \xff", b"x", b" a\0"]),
    ENDS,
).map(b"".join)
RESPONSES = st.tuples(STATUS_LINES, FIELDS, st.sampled_from([b"\r\n", b"\r\n\x82\x02", b""])).map(
    b"".join
)


def of_request(head):
    told = (head.line, head.method, head.target, head.minor, head.length, head.chunked, head.host)
    said = (head.keep_alive, head.upgrades, head.expects_continue, head.size)
    return told, said, list(head.fields)


def of_response(head):
    told = (head.status, head.line, head.minor, head.length, head.chunked, head.size)
    return told, (head.interim, head.bodiless), list(head.fields)


def judged(data, *, line, most):
    """As llhttp has it, whatever is done with names."""
    found = [
        request_head.judged_head(
            data, line=line, most=most, underscores=underscores, strict_names=strict
        )
        for underscores in (False, True)
        for strict in (False, True)
    ]
    assert len({str(of_request(one)) for one in found}) == 1
    return found[0]


@settings(max_examples=1500)
@given(REQUESTS)
@example(UPGRADE)
@example(b"GET /% HTTP/1.1\r\nHost: a\r\n\r\n")
def test_a_plain_request_is_what_llhttp_says_it_is(data):
    head = plain_request(data, LINE, MOST)
    if head is None:
        return
    # What is plain is refused by nobody.
    assert of_request(head) == of_request(judged(data, line=LINE, most=MOST))
    assert head.path is not None or head.args is None
    if head.path is not None:
        uri = read_target(head.target, merge_slashes=True)
        assert (head.path, head.args) == (uri.path, uri.args)
        assert uri == read_target(head.target, merge_slashes=False)
        assert (uri.raw, uri.quoted, uri.authority) == (head.target, False, None)
    assert head.host_name is None or head.host_name == host_of(head.host)


@settings(max_examples=1500)
@given(RESPONSES)
@example(SWITCH)
def test_a_plain_response_is_what_llhttp_says_it_is(data):
    head = plain_response(data)
    if head is not None:
        assert of_response(head) == of_response(response_head.judged_head(data))


@pytest.mark.parametrize("size", [LINE - 1, LINE, LINE + 1])
def test_bounds_of_lines_are_llhttps(size):
    for before, after in (
        (b"GET /", b" HTTP/1.1\r\nHost: a\r\n\r\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA:", b"\r\n\r\n"),
    ):
        line = len(before.rpartition(b"\n")[2]) + len(after.partition(b"\r\n")[0])
        data = before + b"a" * (size - line) + after
        plain = plain_request(data, LINE, 1000)
        assert (plain is None) == (size > LINE)
        with contextlib.suppress(request_head.RequestError):
            found = judged(data, line=LINE, most=1000)
            assert plain is not None
            assert of_request(found) == of_request(plain)


@pytest.mark.parametrize("over", [0, 1])
def test_the_bound_of_a_head_is_llhttps(over):
    most = len(UPGRADE) - over
    assert (plain_request(UPGRADE, LINE, most) is None) == bool(over)
    assert (plain_request(UPGRADE + b"more", LINE, most) is None) == bool(over)


def test_the_heads_of_an_upgrade_are_plain():
    head = plain_request(UPGRADE + b"\x82", LINE, MOST)
    assert head is not None
    assert (head.path, head.args, head.host_name) == (b"/mqtt", b"a=1", b"broker.example")
    assert head.upgrades
    assert plain_response(SWITCH) is not None


def test_what_is_cut_is_not_plain():
    for end in range(len(UPGRADE)):
        assert plain_request(UPGRADE[:end], LINE, MOST) is None
    for end in range(len(SWITCH)):
        assert plain_response(SWITCH[:end]) is None


def test_many_fields_are_left_to_llhttp():
    for count in (63, 64):
        data = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * count + b"\r\n"
        assert (plain_request(data, LINE, MOST * 9) is None) == (count > 63)
        assert len(list(judged(data, line=LINE, most=MOST * 9).fields)) == count + 1


PAIRS = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"A", b"b", b"Aa", b"x-y"]),
        st.sampled_from([b"", b"one", b"One , two", b",", b" three\t,,one", b"o\x0bne"]),
    ),
    max_size=6,
)


@given(PAIRS)
def test_fields_are_found_by_name_in_any_letters(pairs):
    fields = Fields(pairs)
    assert list(fields) == pairs
    for name in (b"a", b"b", b"aa", b"x-y", b"z"):
        values = [value for one, value in pairs if one.lower() == name]
        assert fields.all(name) == values
        assert (name in fields) is bool(values)
        assert fields.get(name) == (b", ".join(values) if values else None)
        assert fields.get(name, b"none") == (b", ".join(values) if values else b"none")


@given(st.lists(st.sampled_from([b"Close", b" upgrade", b"a,close ,b", b"clos", b"closed", b""])))
def test_words_of_a_connection_are_those_of_its_list(values):
    said = b"".join(b"Connection: " + value + b"\r\n" for value in values)
    data = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n" + said + b"\r\n"
    head = plain_request(data, LINE, MOST * 9)
    told = words(b", ".join(value.strip() for value in values) if values else None)
    assert head.keep_alive is (b"close" not in told)
    assert head.upgrades is (b"upgrade" in told)
