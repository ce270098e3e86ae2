"""What a ClientHello says is read whole or not at all, however it is cut, and nothing else is."""

from __future__ import annotations

import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.tls import hello_of
from tidegate.wire.client_hello import (
    MOST_RECORDS,
    VERSIONS,
    ClientHello,
    Need,
    parse_client_hello,
)


def vector(size, data):
    return len(data).to_bytes(size, "big") + data


def extension(kind, value):
    return struct.pack("!H", kind) + vector(2, value)


def body(*extensions, version=0x0303, tail=b""):
    return (
        struct.pack("!H", version)
        + bytes(32)
        + vector(1, b"")
        + vector(2, b"\x13\x01")
        + vector(1, b"\0")
        + (vector(2, b"".join(extensions)) if extensions else b"")
        + tail
    )


def records(message, *sizes):
    """A handshake message in records of those sizes; the last takes the rest."""
    pieces = []
    for size in sizes:
        pieces.append(message[:size])
        message = message[size:]
    pieces.append(message)
    return b"".join(b"\x16\x03\x01" + vector(2, piece) for piece in pieces)


def message(content):
    return b"\x01" + vector(3, content)


def name_extension(name, kind=0):
    return extension(0, vector(2, bytes([kind]) + vector(2, name)))


WHOLE = ClientHello("TLSv1.3", "broker.example", ("mqtt", "h2"))


def test_a_real_client_is_understood():
    data = hello_of(name="broker.example", protocols=("mqtt", "h2"))
    assert parse_client_hello(data) == WHOLE
    assert parse_client_hello(data + b"more") == WHOLE


def test_a_client_of_tls_1_2_without_a_name_is_understood():
    data = hello_of(newest=ssl.TLSVersion.TLSv1_2)
    assert parse_client_hello(data) == ClientHello("TLSv1.2")


def test_a_hello_is_asked_for_until_it_is_whole_and_never_for_too_much():
    data = hello_of(name="broker.example", protocols=("mqtt", "h2"))
    for size in range(len(data)):
        answer = parse_client_hello(data[:size])
        assert isinstance(answer, Need)
        assert size < answer.size <= len(data)


@given(st.lists(st.integers(1, 200), max_size=MOST_RECORDS - 1))
def test_a_hello_may_be_cut_into_records_anywhere(sizes):
    content = message(body(name_extension(b"a.example"), extension(16, vector(2, b"\4mqtt"))))
    cut = []
    for size in sizes:
        if sum(cut) + size < len(content):
            cut.append(size)
    data = records(content, *cut)
    assert parse_client_hello(data) == ClientHello("TLSv1.2", "a.example", ("mqtt",))
    assert isinstance(parse_client_hello(data[:-1]), Need)


def test_a_hello_in_too_many_records_is_not_read():
    content = message(body(name_extension(b"a.example")))
    assert parse_client_hello(records(content, *[1] * (MOST_RECORDS - 1))) is not None
    assert parse_client_hello(records(content, *[1] * MOST_RECORDS)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
        b"GET / HTTP/1.1\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x16\x02\x00\x00\x05",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        records(message(body(version=0x0303)[:-3])),
        records(message(body(tail=b"\xff\xff"))),
        records(message(body(extension(0, b"\x00\x09\x00\x00\x50name")))),
        records(message(body(name_extension(b"a.example", kind=7)))),
        b"\x80\x2e\x02\x03\x01",
        b"\x80\x2e\x01\x07\x01",
    ],
)
def test_what_is_no_hello_is_not_read(data):
    assert parse_client_hello(data) is None


def test_a_hello_of_ssl_2_tells_its_version_alone():
    assert parse_client_hello(b"\x80\x2e\x01\x03\x01\x00\x15") == ClientHello("TLSv1")
    assert parse_client_hello(b"\x80\x2e\x01") == Need(5)


def test_the_newest_version_that_is_known_counts():
    offered = extension(43, vector(1, b"\x7f\x1c\x0a\x0a\x03\x04\x03\x03"))
    assert parse_client_hello(records(message(body(offered)))).version == VERSIONS[0x0304]
    unknown = records(message(body(version=0x0399)))
    assert parse_client_hello(unknown) == ClientHello("")


def test_a_name_that_is_no_text_keeps_its_bytes():
    hello = parse_client_hello(records(message(body(name_extension(b"a\xff\n")))))
    assert hello.server_name.encode("utf-8", "surrogateescape") == b"a\xff\n"


@given(st.binary(max_size=300))
def test_garbage_is_no_hello_or_needs_more(data):
    answer = parse_client_hello(data)
    assert answer is None or isinstance(answer, ClientHello) or answer.size > len(data)


@given(st.data())
def test_a_broken_hello_never_raises(data):
    whole = bytearray(records(message(body(name_extension(b"a.example"), extension(16, b"\0\1")))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    answer = parse_client_hello(bytes(whole))
    assert answer is None or isinstance(answer, (ClientHello, Need))
