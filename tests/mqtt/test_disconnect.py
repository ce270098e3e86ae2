"""DISCONNECT says why in MQTT 5, and is not sent to clients that know none from a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt.samples import framed
from tidegate.mqtt.disconnect import Disconnect, encode_disconnect, parse_disconnect
from tidegate.mqtt.errors import Fault, MqttError
from tidegate.mqtt.fixed_header import Need

LIMIT = 4096
FULL = b"\xe0\x11\x9c\x0f\x1f\0\3bye\x1c\0\6b:1883"


def parse(data, version=5, limit=LIMIT):
    return parse_disconnect(data, version=version, limit=limit)


def test_a_server_tells_why_and_where_to_go():
    packet = encode_disconnect(5, 0x9C, reason_string="bye", server_reference="b:1883")
    assert packet == FULL
    found = parse(packet)
    assert (found.code, found.reason_string, found.server_reference) == (0x9C, "bye", "b:1883")
    assert found.size == len(packet)


@pytest.mark.parametrize("version", [3, 4])
def test_a_client_of_3_is_told_nothing(version):
    assert encode_disconnect(version, 0x8B, reason_string="bye") == b""


def test_what_is_too_long_for_the_client_is_left_out_words_first():
    def encoded(max_packet):
        return encode_disconnect(
            5, 0x9C, reason_string="bye", server_reference="b:1883", max_packet=max_packet
        )

    moved = b"\xe0\x0b\x9c\x09\x1c\0\6b:1883"
    assert encoded(len(FULL)) == FULL
    assert encoded(len(FULL) - 1) == moved
    assert encoded(len(moved)) == moved
    assert encoded(len(moved) - 1) == b"\xe0\1\x9c"
    assert encoded(2) == b""


def test_a_normal_disconnection_needs_no_code():
    assert encode_disconnect(5, 0) == b"\xe0\0"
    assert parse(b"\xe0\0").code == 0
    assert parse(b"\xe0\1\x04").code == 4
    assert parse(b"\xe0\0", version=4).code == 0


def test_every_prefix_needs_more_and_the_rest_is_left_alone():
    for have in range(len(FULL)):
        need = parse(FULL[:have])
        assert isinstance(need, Need)
        assert have < need.size <= len(FULL)
    assert parse(FULL + b"\xc0\0") == parse(FULL)


@pytest.mark.parametrize(
    ("packet", "version"),
    [
        (b"\xe0\1\0", 4),
        (b"\xe0\2\0\1", 5),
        (b"\xe0\3\0\0\0", 5),
        (b"\xe0\4\0\2\x21\1", 5),
        (b"\xe0\xff\xff\xff\xff\0", 5),
    ],
)
def test_malformed_packets_are_refused(packet, version):
    with pytest.raises(MqttError) as caught:
        parse(packet, version=version)
    assert caught.value.fault is Fault.MALFORMED


def test_another_packet_is_unexpected_and_a_long_one_oversize():
    with pytest.raises(MqttError) as caught:
        parse(b"\xe1\0")
    assert caught.value.fault is Fault.UNEXPECTED
    with pytest.raises(MqttError) as caught:
        parse(FULL, limit=len(FULL) - 1)
    assert caught.value.fault is Fault.OVERSIZE


@given(st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(lambda b: framed(b, 0xE0))))
def test_anything_is_read_or_refused(data):
    for version in (4, 5):
        try:
            found = parse(data, version=version)
        except MqttError:
            continue
        assert isinstance(found, Disconnect | Need)
