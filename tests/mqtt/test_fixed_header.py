"""The length of a packet is known as soon as it can be, and never more than four bytes long."""

from __future__ import annotations

import pytest

from mqtt.samples import varint
from tidegate.mqtt.errors import Fault, MqttError
from tidegate.mqtt.fixed_header import (
    FixedHeader,
    Need,
    PacketType,
    encode_length,
    packet_type,
    parse_fixed_header,
)

BOUNDARIES = [
    (0, 1),
    (127, 1),
    (128, 2),
    (16_383, 2),
    (16_384, 3),
    (2_097_151, 3),
    (2_097_152, 4),
    (268_435_455, 4),
]
ANY = 1 << 30


@pytest.mark.parametrize(("length", "size"), BOUNDARIES)
def test_every_length_takes_the_bytes_that_the_specification_says(length, size):
    encoded = encode_length(length)
    assert len(encoded) == size
    assert encoded == varint(length)
    assert parse_fixed_header(b"\x10" + encoded, limit=ANY) == FixedHeader(
        1 + size, 1 + size + length
    )


@pytest.mark.parametrize(("length", "size"), BOUNDARIES)
def test_a_part_of_the_header_needs_one_byte_more(length, size):
    header = b"\x10" + encode_length(length)
    for have in range(1, 1 + size):
        assert parse_fixed_header(header[:have], limit=ANY) == Need(have + 1)


def test_nothing_needs_the_two_bytes_that_every_packet_has():
    assert parse_fixed_header(b"", limit=ANY) == Need(2)


@pytest.mark.parametrize("tail", [b"", b"\0", b"\x80", b"rest"])
def test_a_fifth_byte_of_length_is_malformed(tail):
    with pytest.raises(MqttError, match="more than 4 bytes") as error:
        parse_fixed_header(b"\x10\xff\xff\xff\xff" + tail, limit=ANY)
    assert error.value.fault is Fault.MALFORMED


def test_a_length_may_be_longer_than_needed():
    assert parse_fixed_header(b"\x10\x82\x80\x80\0", limit=ANY) == FixedHeader(5, 7)


def test_the_limit_counts_the_whole_packet():
    assert parse_fixed_header(b"\x10\x0e", limit=16) == FixedHeader(2, 16)
    with pytest.raises(MqttError, match="at least 16 bytes, the limit is 15") as error:
        parse_fixed_header(b"\x10\x0e", limit=15)
    assert error.value.fault is Fault.OVERSIZE


def test_256_mib_are_refused_by_the_header_alone():
    with pytest.raises(MqttError) as error:
        parse_fixed_header(b"\x10\xff\xff\xff\x7f", limit=16_384)
    assert error.value.fault is Fault.OVERSIZE


def test_no_more_is_asked_for_than_the_limit():
    assert parse_fixed_header(b"\x10\x80", limit=3) == Need(3)
    with pytest.raises(MqttError) as error:
        parse_fixed_header(b"\x10\x80", limit=2)
    assert error.value.fault is Fault.OVERSIZE


@pytest.mark.parametrize("value", [-1, 268_435_456])
def test_what_does_not_fit_four_bytes_is_not_encoded(value):
    with pytest.raises(MqttError) as error:
        encode_length(value)
    assert error.value.fault is Fault.VALUE


def test_the_type_is_the_high_half_of_the_first_byte():
    assert packet_type(b"\x20\2\0\0") is PacketType.CONNACK
    assert packet_type(memoryview(b"\xf0")) is PacketType.AUTH
    assert packet_type(b"\x3d") is PacketType.PUBLISH
    assert packet_type(b"\x0f") is None
    assert packet_type(b"") is None
