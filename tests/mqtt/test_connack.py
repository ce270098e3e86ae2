"""A node's answer is read in its own version; ours stays within what the client takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt.samples import framed, string, varint
from tidegate.mqtt.connack import Connack, encode_connack, parse_connack
from tidegate.mqtt.errors import Fault, MqttError
from tidegate.mqtt.fixed_header import Need
from tidegate.mqtt.properties import Property

LIMIT = 4096
ASSIGNED = b"\x12" + string(b"auto-1")
SERVER_KEEP_ALIVE = b"\x13\0\x1e"
SERVER_REFERENCE = b"\x1c" + string(b"b.example:1883")
REASON = b"\x1f" + string(b"go away")


def connack(flags, code, properties=None):
    section = b"" if properties is None else varint(len(properties)) + properties
    return framed(bytes([flags, code]) + section, 0x20)


def refused(data, version=5, limit=LIMIT):
    with pytest.raises(MqttError) as caught:
        parse_connack(data, version=version, limit=limit)
    return caught.value


VALID = {
    "3.1": (3, connack(0, 0)),
    "3.1.1 with a session": (4, connack(1, 0)),
    "3.1.1 that refuses": (4, connack(0, 5)),
    "5": (5, connack(0, 0, b"")),
    "5 with all": (
        5,
        connack(1, 0x9C, ASSIGNED + SERVER_KEEP_ALIVE + SERVER_REFERENCE + REASON),
    ),
    "5 answered in 3.1.1": (5, connack(0, 1)),
}
valid = pytest.mark.parametrize(("version", "packet"), VALID.values(), ids=VALID.keys())


@valid
def test_every_prefix_needs_more_and_the_rest_is_left_alone(version, packet):
    for have in range(len(packet)):
        need = parse_connack(packet[:have], version=version, limit=LIMIT)
        assert isinstance(need, Need)
        assert have < need.size <= len(packet)
    found = parse_connack(packet, version=version, limit=LIMIT)
    assert isinstance(found, Connack)
    assert found.size == len(packet)
    assert parse_connack(packet + b"\x30\0", version=version, limit=LIMIT) == found
    assert parse_connack(memoryview(packet), version=version, limit=LIMIT) == found


def test_all_that_a_connack_of_5_says():
    found = parse_connack(VALID["5 with all"][1], version=5, limit=LIMIT)
    assert (found.version, found.session_present, found.code) == (5, True, 0x9C)
    assert found.assigned_client_id == "auto-1"
    assert found.server_keepalive == 30
    assert found.server_reference == "b.example:1883"
    assert found.reason_string == "go away"
    assert found.session_expiry is None


def test_all_that_a_connack_of_3_1_1_says():
    assert not parse_connack(connack(0, 0), version=4, limit=LIMIT).session_present
    found = parse_connack(connack(1, 0), version=4, limit=LIMIT)
    assert (found.version, found.session_present, found.code) == (4, True, 0)
    assert found.assigned_client_id is None
    assert found.server_keepalive is None


def test_an_old_node_may_answer_5_in_its_own_words():
    found = parse_connack(connack(0, 1), version=5, limit=LIMIT)
    assert (found.version, found.code) == (4, 1)


def test_3_1_has_no_session_present():
    found = parse_connack(connack(1, 0), version=3, limit=LIMIT)
    assert not found.session_present
    assert parse_connack(connack(0xFF, 0), version=3, limit=LIMIT).code == 0


@pytest.mark.parametrize("first", [0x10, 0x30, 0xE0, 0xF0, 0x00, 0xFF])
def test_another_packet_is_unexpected_not_malformed(first):
    assert refused(bytes([first])).fault is Fault.UNEXPECTED


@pytest.mark.parametrize(
    ("packet", "version"),
    [
        (b"\x21\2\0\0", 4),
        (b"\x20\0", 4),
        (b"\x20\1\0", 5),
        (connack(0, 0, b""), 4),
        (connack(2, 0), 4),
        (connack(2, 0, b""), 5),
        (connack(0, 0, b"\x26\0\1"), 5),
        (connack(0, 0, ASSIGNED * 2), 5),
        (framed(b"\0\0\0\0", 0x20), 5),
        (b"\x20\xff\xff\xff\xff\1", 5),
    ],
)
def test_malformed_answers_are_refused(packet, version):
    assert refused(packet, version).fault is Fault.MALFORMED


def test_a_long_answer_is_oversize():
    packet = connack(0, 0, b"\x1f" + string(b"x" * 100))
    assert refused(packet, limit=len(packet) - 1).fault is Fault.OVERSIZE
    assert parse_connack(packet, version=5, limit=len(packet)).reason_string == "x" * 100


@given(st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(lambda b: framed(b, 0x20))))
def test_anything_is_read_or_refused(data):
    for version in (3, 4, 5):
        try:
            found = parse_connack(data, version=version, limit=LIMIT)
        except MqttError:
            continue
        assert isinstance(found, Connack | Need)


@pytest.mark.parametrize("version", [3, 4])
def test_a_refusal_of_3_has_four_bytes_and_no_words(version):
    assert encode_connack(version, 3, reason_string="no node") == b"\x20\2\0\3"


def test_a_refusal_of_5_has_words_where_they_fit():
    full = b"\x20\x0d\0\x88\x0a\x1f\0\7no node"
    assert encode_connack(5, 0x88, reason_string="no node") == full
    assert encode_connack(5, 0x88, reason_string="no node", max_packet=len(full)) == full
    bare = b"\x20\3\0\x88\0"
    assert encode_connack(5, 0x88, reason_string="no node", max_packet=len(full) - 1) == bare
    assert encode_connack(5, 0x88, max_packet=5) == bare
    assert encode_connack(5, 0x88, max_packet=4) == b""


def test_a_refusal_of_5_is_read_back():
    packet = encode_connack(5, 0x97, reason_string="zu viele " * 30)
    found = parse_connack(packet, version=5, limit=LIMIT)
    assert (found.code, found.reason_string) == (0x97, "zu viele " * 30)
    assert found.properties.values.keys() == {Property.REASON_STRING}


@pytest.mark.parametrize("words", ["a\nb", "\ud800", "x" * 65_536])
def test_words_that_fit_no_packet_are_refused(words):
    with pytest.raises(MqttError) as caught:
        encode_connack(5, 0x88, reason_string=words)
    assert caught.value.fault is Fault.VALUE
