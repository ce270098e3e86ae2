"""A CONNECT is read as a server has to, however its bytes come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt.samples import (
    LIMIT,
    NEXT_PACKET,
    VALID,
    WILL,
    connect,
    framed,
    outcomes,
    string,
)
from tidegate.mqtt.errors import Fault, MqttError
from tidegate.mqtt.fixed_header import Need
from tidegate.mqtt.parse_connect import parse_connect
from tidegate.mqtt.properties import Property

valid = pytest.mark.parametrize("packet", VALID.values(), ids=VALID.keys())


def parse(data):
    return parse_connect(data, limit=LIMIT)


def verdict(data):
    """What comes of `data`, comparable: a result, or the error's text."""
    try:
        return parse(data)
    except MqttError as error:
        return (error.fault, error.version, str(error))


def refused(data, **options):
    with pytest.raises(MqttError) as caught:
        parse_connect(data, **{"limit": LIMIT, **options})
    return caught.value


@valid
def test_whole_packets_are_read(packet):
    found = parse(packet)
    assert found.packet == packet
    assert packet[found.flags_at - 1] & 0x7F == found.version


@valid
def test_bytes_behind_the_packet_are_left_alone(packet):
    assert parse(packet + NEXT_PACKET) == parse(packet)


@valid
def test_memoryviews_and_bytearrays_are_read_like_bytes(packet):
    found = parse(packet)
    assert parse(memoryview(b"\0" + packet + b"\0")[1:]) == found
    assert parse(bytearray(packet)) == found
    assert isinstance(parse(bytearray(packet)).packet, bytes)


@valid
def test_every_prefix_needs_more_and_never_more_than_the_packet(packet):
    before = 0
    for have in [*range(min(len(packet), 200)), len(packet) - 1]:
        need = parse(packet[:have])
        assert isinstance(need, Need)
        assert have < need.size <= len(packet)
        assert need.size >= before
        before = need.size
    assert before == len(packet)


@valid
def test_byte_by_byte_it_is_asked_at_most_once_per_byte_of_the_header(packet):
    found = outcomes(parse, packet)
    assert found[-1] == parse(packet)
    assert len(found) <= 6


@valid
def test_an_end_in_the_middle_is_truncated(packet):
    for have in [*range(min(len(packet), 100)), len(packet) - 1]:
        error = refused(packet[:have], ended=True)
        assert error.fault is Fault.TRUNCATED
        assert f"ended after {have} of" in error.message
    assert parse_connect(packet, limit=LIMIT, ended=True) == parse(packet)


@valid
def test_the_limit_is_the_size_of_the_packet(packet):
    assert parse_connect(packet, limit=len(packet)) == parse(packet)
    assert refused(packet, limit=len(packet) - 1).fault is Fault.OVERSIZE


def test_all_that_a_connect_of_3_1_1_says():
    found = parse(VALID["3.1.1 with all"])
    assert (found.version, found.keepalive, found.clean_start) == (4, 60, True)
    assert (found.client_id, found.username, found.password) == ("device-1", "user", b"\0\xff")
    will = found.will
    assert (will.topic, will.qos, will.retain) == (WILL[0].decode(), 2, True)
    assert found.will_payload == WILL[1]
    assert found.has_password
    assert not found.bridge
    assert found.user_properties == ()
    assert found.session_expiry is None


def test_all_that_a_connect_of_5_says():
    found = parse(VALID["5 with all"])
    assert (found.version, found.client_id, found.username) == (5, "device-1", "gerät")
    assert found.session_expiry == 3600
    assert found.receive_maximum == 20
    assert found.maximum_packet_size == 4096
    assert found.topic_alias_maximum == 10
    assert found.request_response_information == 1
    assert found.request_problem_information == 0
    assert found.user_properties == (("k", "v1"), ("k", "v2"))
    assert found.authentication_method == "SCRAM"
    assert found.authentication_data == b"\0\xff"
    will = found.will
    assert (will.qos, will.retain) == (1, True)
    assert found.will_payload == WILL[1]
    assert will.properties.number(Property.WILL_DELAY_INTERVAL) == 5
    assert will.properties.number(Property.PAYLOAD_FORMAT_INDICATOR) == 1
    assert will.properties.number(Property.MESSAGE_EXPIRY_INTERVAL) == 60
    assert will.properties.text(Property.CONTENT_TYPE) == "text"
    assert will.properties.text(Property.RESPONSE_TOPIC) == "reply"
    assert will.properties.data(Property.CORRELATION_DATA) == b"\xff\0"
    assert will.properties.user == (("w", "x"), ("w", "x"))


@pytest.mark.parametrize("keepalive", [0, 1, 255, 256, 65_535])
@pytest.mark.parametrize("version", [3, 4, 5])
def test_the_keep_alive_is_in_seconds_of_two_bytes(version, keepalive):
    assert parse(connect(version, keepalive=keepalive)).keepalive == keepalive


def test_what_was_not_sent_is_none_and_what_was_sent_empty_is_empty():
    nothing = parse(connect(4))
    assert (nothing.username, nothing.password, nothing.will) == (None, None, None)
    assert nothing.will_payload is None
    empty = parse(VALID["3.1.1 with empty user name and password"])
    assert (empty.username, empty.password, empty.has_password) == ("", b"", True)
    assert parse(VALID["3.1.1 with an empty will"]).will_payload == b""
    assert parse(VALID["3.1.1 without an identifier, session kept"]).client_id == ""
    assert not parse(VALID["3.1.1 without an identifier, session kept"]).clean_start


def test_in_3_1_the_length_counts_for_more_than_the_flags():
    neither = parse(VALID["3.1 with flags of missing user name and password"])
    assert (neither.username, neither.password) == (None, None)
    name_only = parse(VALID["3.1 with the flag of a missing password"])
    assert (name_only.username, name_only.password) == ("u", None)


@pytest.mark.parametrize("name", ["3.1 of a bridge", "3.1.1 of a bridge"])
def test_bridges_of_mosquitto_are_known_by_the_high_bit_of_the_level(name):
    found = parse(VALID[name])
    assert found.bridge
    assert found.version in {3, 4}


def test_no_password_stands_in_the_repr():
    found = parse(connect(4, username=b"u", password=b"hunter2"))
    assert "hunter2" not in repr(found)
    assert "device-1" in repr(found)


@pytest.mark.parametrize(
    ("first", "hint"),
    [
        (0x16, "looks like a TLS handshake"),
        (ord("G"), "looks like an HTTP request"),
        (ord("P"), "looks like a PROXY protocol header"),
        (0x0D, "looks like a PROXY protocol header"),
        (0xC0, "could be PINGREQ"),
        (0x82, "could be SUBSCRIBE"),
    ],
)
def test_what_is_no_connect_is_refused_at_its_first_byte(first, hint):
    error = refused(bytes([first]))
    assert error.fault is Fault.NOT_CONNECT
    assert error.version is None
    assert f"0x{first:02X}" in error.message
    assert hint in error.message


def test_only_0x10_begins_a_connect():
    for first in set(range(256)) - {0x10}:
        error = refused(bytes([first]) + VALID["3.1.1"][1:])
        assert error.fault is Fault.NOT_CONNECT


@pytest.mark.parametrize(
    ("name", "level", "answer"),
    [
        (b"MQTT", 6, 5),
        (b"MQTT", 0xFF, 5),
        (b"MQTT", 3, 4),
        (b"MQTT", 0, 4),
        (b"MQIsdp", 4, 3),
        (b"MQIsdp", 2, 3),
        (b"MQTX", 4, None),
        (b"mqtt", 4, None),
        (b"HTTP/2", 4, None),
    ],
)
def test_an_unknown_version_is_told_apart_with_what_was_seen(name, level, answer):
    packet = framed(string(name) + bytes([level]) + b"\2\0\x3c" + string(b"device-1"))
    error = refused(packet)
    assert (error.fault, error.version) == (Fault.UNSUPPORTED_VERSION, answer)
    assert f"{name!r} level {level}" in error.message


def test_an_unknown_version_is_refused_before_the_rest_came():
    assert refused(b"\x10\xff\x7f\0\4MQTT\6").fault is Fault.UNSUPPORTED_VERSION
    assert refused(b"\x10\xff\x7fab").fault is Fault.UNSUPPORTED_VERSION
    assert parse(b"\x10\xff\x7f\0\4MQTT\5") == Need(3 + 16_383)


MALFORMED = {
    "nothing behind the length": (b"\x10\0", None, "0 bytes behind its length"),
    "less than any CONNECT has": (b"\x10\x0b" + bytes(11), None, "11 bytes behind its length"),
    "a reserved flag in 3.1.1": (connect(4, flags=0x03), 4, "reserved"),
    "a reserved flag in 5": (connect(5, flags=0x03), 5, "reserved"),
    "a will with QoS 3": (connect(4, will=WILL, flags=0x1E), 4, "QoS 3"),
    "a will with QoS 3 in 3.1": (connect(3, will=WILL, flags=0x1E), 3, "QoS 3"),
    "QoS without a will": (connect(4, flags=0x0A), 4, "there is no will"),
    "QoS 3 without a will": (connect(5, flags=0x1A), 5, "there is no will"),
    "retain without a will": (connect(5, flags=0x22), 5, "there is no will"),
    "a password alone in 3.1.1": (connect(4, password=b"p"), 4, "without a user name"),
    "a password alone in 3.1": (connect(3, password=b"p"), 3, "without a user name"),
    "a flag without its user name": (connect(4, flags=0x82), 4, "the user name is missing"),
    "a flag without its password": (connect(5, flags=0x42), 5, "the password is missing"),
    "a flag without its will": (connect(4, flags=0x06), 4, "the will topic is missing"),
    "a field without its flag": (connect(4, flags=0x02, username=b"u"), 4, "3 bytes inside"),
    "bytes behind the last field": (framed(connect(4)[2:] + b"\0\0"), 4, "2 bytes inside"),
    "one byte behind a user name in 3.1": (
        framed(connect(3, flags=0xC2, username=b"u")[2:] + b"\0"),
        3,
        "the password is missing",
    ),
    "an identifier beyond the end": (
        connect(4).replace(b"\0\x08device", b"\0\x09device"),
        4,
        "9 bytes, but 8 are left",
    ),
    "an identifier that is no UTF-8": (connect(4, b"ab\xff"), 4, "no UTF-8 at its byte 2"),
    "an identifier with a surrogate": (connect(4, b"\xed\xa0\x80"), 4, "no UTF-8"),
    "an identifier that is overlong": (connect(4, b"\xc0\x80"), 4, "no UTF-8"),
    "an identifier with U+0000": (connect(5, b"a\0"), 5, "identifier holds U+0000"),
    "a user name with U+0000": (connect(4, username=b"\0"), 4, "user name holds U+0000"),
    "a will topic that is no UTF-8": (connect(4, will=(b"\xfe", b"")), 4, "will topic is no UTF-8"),
    "a will payload beyond the end": (
        framed(connect(4, will=(b"t", b"x"))[2:-1]),
        4,
        "will payload of 1 bytes, but 0 are left",
    ),
    "3.1 without its keep alive": (framed(b"\0\6MQIsdp\3\2\0\x3c"), 3, "identifier is missing"),
    "3.1 that ends in its keep alive": (framed(b"\0\6MQIsdp\3\2" + b"\0\0"), 3, "identifier"),
    "5 without a property length": (framed(b"\0\4MQTT\5\2\0\x3c\x80\x80"), 5, "property length"),
    "5 with a length longer than needed": (
        b"\x10\x95\0" + connect(5)[2:],
        5,
        "more bytes than needed",
    ),
}


@pytest.mark.parametrize(("packet", "version", "words"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_packets_are_refused_with_the_field_that_is_wrong(packet, version, words):
    error = refused(packet)
    assert (error.fault, error.version) == (Fault.MALFORMED, version)
    assert words in error.message


def test_control_characters_but_u_0000_are_the_nodes_to_judge():
    assert parse(connect(4, b"a\x01\x7f\xc2\x80\xef\xbf\xbf")).client_id == "a\x01\x7f\x80\uffff"
    assert parse(connect(4, b"\xef\xbb\xbfid")).client_id == "\ufeffid"  # never stripped


def test_the_longest_fields_are_read():
    longest = b"x" * 65_535
    packet = connect(5, longest, will=(longest, longest), username=longest, password=longest)
    found = parse(packet)
    assert len(found.client_id) == len(found.username) == len(found.password) == 65_535


@st.composite
def damaged(draw):
    """A valid packet with some bytes changed, cut out or put in."""
    packet = bytearray(draw(st.sampled_from([p for p in VALID.values() if len(p) < 300])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(packet)))
        until = min(len(packet), at + draw(st.integers(0, 3)))
        packet[at:until] = draw(st.binary(max_size=3))
    return bytes(packet)


def is_consistent(found):
    """Whether offsets and values of a Connect tell the same story."""
    spans = (found.client_id_at, found.will_at, found.username_at, found.password_at)
    return (
        (*spans, len(found.packet)) == tuple(sorted((*spans, len(found.packet))))
        and found.packet[found.client_id_at + 2 : found.will_at].decode() == found.client_id
        and (found.will is None) == (found.will_at == found.username_at)
        and (found.username is None) == (found.username_at == found.password_at)
    )


@given(st.one_of(damaged(), st.binary(max_size=64), st.binary(max_size=64).map(framed)))
def test_anything_is_read_or_refused_alike_in_whichever_pieces_it_comes(data):
    whole = verdict(data)
    if not isinstance(whole, (tuple, Need)):
        assert is_consistent(whole)
    assert verdict(data + b"\0") == whole or isinstance(whole, Need)
    for have in range(len(data)):
        part = verdict(data[:have])
        if isinstance(part, Need):
            assert part.size > have
            if not isinstance(whole, tuple):
                assert part.size <= (whole.size if isinstance(whole, Need) else len(whole.packet))
        else:
            assert part == whole
