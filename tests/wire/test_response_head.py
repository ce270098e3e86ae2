"""Heads of HTTP responses, as brokers send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.wire.response_head import ResponseError, read_response_head

SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-protocol: mqtt\r\n\r\n"
)


def test_a_head_tells_status_line_and_fields():
    head = read_response_head(SWITCH + b"\x82\x02")
    assert (head.status, head.line, head.minor) == (101, b"101 Switching Protocols", 1)
    assert head.fields.get(b"sec-websocket-protocol") == b"mqtt"
    assert head.size == len(SWITCH)


def test_every_prefix_waits_for_more():
    for end in range(len(SWITCH)):
        assert read_response_head(SWITCH[:end]) is None, end


@pytest.mark.parametrize("fields", [b"", b"Upgrade: websocket\r\n", b"Connection: close\r\n"])
def test_a_switch_is_one_whatever_its_connection_field_says(fields):
    data = b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n"
    head = read_response_head(data + b"\x82\x02")
    assert (head.status, head.size) == (101, len(data))


def test_bodies_have_a_length_or_chunks_or_go_on_to_the_end():
    assert read_response_head(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n").length == 7
    assert read_response_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").chunked
    head = read_response_head(b"HTTP/1.0 200 Fine\r\n\r\n")
    assert (head.length, head.chunked, head.minor) == (None, False, 0)


def test_heads_before_the_last_one_are_told_apart():
    assert read_response_head(b"HTTP/1.1 100 Continue\r\n\r\n").interim
    assert not read_response_head(SWITCH).interim


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n",
        b"HTTP/1.1 101 OK\r\nA : b\r\n\r\n",
    ],
)
def test_what_is_no_head_is_not_passed_on(data):
    with pytest.raises(ResponseError):
        read_response_head(data)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_garbage_is_refused_or_waited_for(start, rest):
    for data in (start, b"HTTP/1.1 200 " + rest, b"HTTP/1.1 200 OK\r\n" + rest + b"\r\n\r\n"):
        try:
            head = read_response_head(data)
        except ResponseError:
            continue
        assert head is None or head.size <= len(data)
