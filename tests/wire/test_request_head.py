"""Heads of HTTP requests: what is read, what is waited for, what is refused and how."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.wire.request_head import RequestError, read_request_head

PLAIN = (
    b"GET /mqtt?a=1 HTTP/1.1\r\nHost: Broker.example:8083\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nX-Two: a\r\nx-two: b\r\nEmpty:\r\n\r\n"
)


def read(data, *, line=8192, most=33792, **options):
    return read_request_head(data, line=line, most=most, **options)


def test_a_head_tells_its_line_and_its_fields():
    head = read(PLAIN + b"body")
    assert head.line == b"GET /mqtt?a=1 HTTP/1.1"
    assert (head.method, head.target, head.minor) == (b"GET", b"/mqtt?a=1", 1)
    assert head.host == b"Broker.example:8083"
    assert head.fields.get(b"x-two") == b"a, b"
    assert head.fields.get(b"empty") == b""
    assert head.size == len(PLAIN)
    assert (head.length, head.chunked, head.keep_alive) == (None, False, True)


def test_every_prefix_of_a_head_waits_for_more():
    for end in range(len(PLAIN)):
        assert read(PLAIN[:end]) is None, end


@pytest.mark.parametrize(
    ("fields", "keeps"),
    [
        (b"Connection: close\r\n", False),
        (b"Connection: Upgrade, close\r\n", False),
        (b"", True),
    ],
)
def test_a_client_says_whether_it_stays(fields, keeps):
    assert read(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n").keep_alive is keeps


def test_http_1_0_stays_only_where_it_says_so():
    assert not read(b"GET / HTTP/1.0\r\n\r\n").keep_alive
    assert read(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive


def test_lengths_of_bodies():
    assert read(b"POST / HTTP/1.0\r\nContent-Length: 12\r\n\r\n").length == 12
    head = read(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n")
    assert (head.length, head.chunked) == (None, True)


def test_methods_that_nobody_has_heard_of_pass():
    assert read(b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n").method == b"FROB"


def test_names_that_nginx_leaves_out_are_left_out():
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX_Y: 1\r\nX-Z: 2\r\n\r\n"
    assert b"x_y" not in read(data).fields
    assert read(data, underscores=True).fields.get(b"x_y") == b"1"
    assert read(data, strict_names=False).fields.get(b"x_y") == b"1"


HOST = b"Host: a\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\rc\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b" folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A\0: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b": b\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"\x16\x03\x01\x02", 400),
        (b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n"
            b"Content-Length: 1\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n", 501),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"GET /" + b"a" * 9000, 414),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 9000, 494),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 9000 + b"\r\n\r\n", 494),
        (b"GET / HTTP/1.1\r\n" + HOST + (b"A: " + b"a" * 4000 + b"\r\n") * 9, 494),
    ],
)
def test_what_could_be_read_in_two_ways_or_is_too_much_is_refused(data, status):
    with pytest.raises(RequestError) as refused:
        read(data)
    assert refused.value.status == status
    assert "while reading client request" in str(refused.value)


@given(st.binary(max_size=200))
@settings(max_examples=500)
def test_garbage_is_refused_or_waited_for(data):
    try:
        head = read(data)
    except RequestError:
        return
    assert head is None or head.size <= len(data)


PIECES = st.sampled_from(
    [
        *(b"GET ", b"POST ", b"/", b"/mqtt", b"?a=b", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\n"),
        *(b"\r", b"Host: a", b"Host:b", b"Content-Length: 5", b"Content-Length: x", b" ", b":"),
        *(b"Transfer-Encoding: chunked", b"\0", b"\xff", b"Connection: upgrade", b"\t", b"hello"),
    ]
)


@given(st.lists(PIECES, max_size=30).map(b"".join))
@settings(max_examples=1000)
def test_pieces_of_heads_in_any_order_are_read_refused_or_waited_for(data):
    try:
        head = read(data)
    except RequestError:
        return
    if head is None:
        return
    assert data[: head.size].endswith(b"\r\n\r\n")
    assert head.host is not None or head.minor == 0
    assert not (head.length is not None and head.chunked)


@given(st.lists(PIECES, max_size=20).map(b"".join))
@settings(max_examples=300)
def test_what_is_read_whole_is_refused_in_no_prefix(data):
    try:
        head = read(data)
    except RequestError:
        return
    if head is not None:
        for end in range(head.size):
            assert read(data[:end]) is None
