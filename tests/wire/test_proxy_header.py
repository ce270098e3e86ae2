"""Headers are read whole, in pieces and with more behind them; what is none is refused in words."""

from __future__ import annotations

import contextlib
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lab import proxy_headers as headers
from tidegate.engine.proxy_header import measure
from tidegate.wire.network import number_of
from tidegate.wire.proxy_protocol import (
    LONGEST,
    HeaderError,
    encode_v1,
    parse,
    parse_v1,
    parse_v2,
    worth_keeping,
)

BROKEN = {name: (data, f'broken header: "{line}"') for name, (data, line) in headers.BROKEN.items()}


def by_name(table):
    return pytest.mark.parametrize("data", table.values(), ids=table.keys())


def told(data):
    proxied = parse(data).proxied
    return (
        proxied.source,
        proxied.source_port,
        proxied.destination,
        proxied.destination_port,
        proxied.client,
    )


def test_version_1_tells_both_addresses():
    client = (socket.AF_INET, "203.0.113.7", 4242)
    assert told(headers.V1) == ("203.0.113.7", 4242, "198.51.100.1", 1883, client)
    client = (socket.AF_INET6, "2001:db8::7", 4242)
    assert told(headers.V1_SIX) == ("2001:db8::7", 4242, "2001:db8::1", 1883, client)
    assert told(headers.NAMING["v1-capitals"])[0] == "2001:DB8:0::7"
    assert told(headers.NAMING["v1-capitals"])[4] == client
    assert told(headers.NAMING["v1-mixed"])[4] == client
    assert parse_v1(headers.V1).proxied.tlvs == b""


def test_version_2_tells_both_addresses():
    client = (socket.AF_INET, "203.0.113.7", 4242)
    assert told(headers.V2) == ("203.0.113.7", 4242, "198.51.100.1", 1883, client)
    client = (socket.AF_INET6, "2001:db8::7", 4242)
    assert told(headers.V2_SIX) == ("2001:db8::7", 4242, "2001:db8::1", 1883, client)
    assert told(headers.NAMING["v2-mapped"])[0] == "::ffff:203.0.113.7"
    assert parse_v2(headers.V2).proxied.tlvs == b""
    rest = headers.tlv(4, bytes(32)) + headers.tlv(2, b"example.org")
    assert parse_v2(headers.V2_TLVS).proxied.tlvs == rest


@by_name(headers.TELLING_NO_ADDRESS)
def test_words_that_are_no_address_are_told_and_name_nobody(data):
    assert parse(data).proxied.client is None


@by_name(headers.SILENT)
def test_a_header_may_tell_nothing(data):
    assert parse(data).proxied is None


@by_name(headers.VALID)
@pytest.mark.parametrize("behind", [b"", b"\x10", b"\r\n", headers.V1], ids=len)
def test_a_header_ends_where_it_ends(data, behind):
    assert parse(data + behind).size == len(data) == measure(data + behind)
    assert parse(data + behind).proxied == parse(data).proxied


@by_name(headers.VALID)
def test_every_prefix_needs_more(data):
    for end in range(len(data)):
        assert parse(data[:end]) is None, end
        assert measure(data[:end]) == 0, end


@pytest.mark.parametrize("name", [*BROKEN, *headers.BROKEN_2])
def test_what_is_no_header_is_refused_in_nginx_words(name):
    data, words = {**BROKEN, **headers.BROKEN_2}[name]
    with pytest.raises(HeaderError) as caught:
        parse(data)
    assert str(caught.value) == words
    # Bytes behind it mend nothing.
    with pytest.raises(HeaderError):
        parse(data + headers.V1)


def test_a_line_without_an_end_is_not_waited_for():
    assert parse(headers.ENDLESS[:106]) is None
    assert measure(headers.ENDLESS[:106]) == 0
    assert measure(headers.ENDLESS[:107]) == -1
    with pytest.raises(HeaderError):
        parse(headers.ENDLESS[:107])


def test_a_name_in_the_log_forges_nothing():
    with pytest.raises(HeaderError) as caught:
        parse(b'GET ", client: 10.0.0.1\\\r\n2026/01/01 [emerg] x\n')
    assert str(caught.value) == 'broken header: "GET \\x22, client: 10.0.0.1\\x5C"'


@by_name(headers.NAMING)
def test_what_is_kept_tells_the_same(data):
    kept = worth_keeping(data)
    assert len(kept) <= len(data)
    assert len(kept) <= 107
    again = parse(kept)
    assert again.size == len(kept)
    assert again.proxied.tlvs == b""
    assert told(kept) == told(data)


def test_tlvs_that_are_asked_for_are_kept():
    kept = worth_keeping(headers.V2_TLVS + b"behind it", {0x02, 0x03})
    assert parse(kept).size == len(kept)
    assert parse(kept).proxied.tlvs == headers.tlv(0x02, b"example.org")
    assert told(kept) == told(headers.V2_TLVS)
    assert worth_keeping(headers.V1, {0x02}) == headers.V1


ENDPOINTS = st.tuples(st.ip_addresses(), st.integers(0, 65535)).map(
    lambda pair: (
        socket.AF_INET if pair[0].version == 4 else socket.AF_INET6,
        str(pair[0]),
        pair[1],
    )
)


@given(ENDPOINTS, ENDPOINTS)
def test_what_we_write_we_read(client, server):
    header = encode_v1(client, server)
    proxied = parse(header).proxied
    assert number_of(*proxied.client[:2]) == number_of(*client[:2])
    assert proxied.client[2] == client[2]
    assert proxied.destination_port == server[2]


PIECES = st.sampled_from(
    [b"PROXY ", headers.SIGNATURE, b"TCP4 ", b"UNKNOWN", b"\r\n", b" ", b"1.2.3.4"]
)
ALIKE = st.lists(st.one_of(PIECES, st.binary(max_size=5)), max_size=12).map(b"".join)
MUTATED = st.builds(
    lambda data, at, by: data[: at % len(data)] + by + data[at % len(data) + 1 :],
    st.sampled_from([*headers.VALID.values()]),
    st.integers(0, 5000),
    st.binary(max_size=3),
)


@given(st.one_of(st.binary(max_size=200), ALIKE, MUTATED))
@example(b"")
@example(headers.SIGNATURE)
@example(b"PROXY \r\n")
def test_garbage_is_accepted_or_refused_and_the_engine_measures_as_we_read(data):
    size = measure(data)
    assert -1 <= size <= min(len(data), LONGEST)
    if size == 0:
        assert parse(data) is None
        return
    if size < 0:
        with pytest.raises(HeaderError):
            parse(data)
        return
    with contextlib.suppress(HeaderError):
        assert parse(data).size == size
        assert parse(data[:size]) == parse(data)
