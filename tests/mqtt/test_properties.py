"""Each packet takes the properties that MQTT 5 gives it, once, with values that it allows."""

from __future__ import annotations

import pytest

from mqtt.samples import LIMIT, WILL, connect, varint
from tidegate.mqtt.errors import Fault, MqttError
from tidegate.mqtt.parse_connect import parse_connect
from tidegate.mqtt.properties import (
    NO_PROPERTIES,
    OF_CONNACK,
    OF_CONNECT,
    OF_DISCONNECT,
    OF_WILL,
    Property,
    encode_properties,
    parse_properties,
)

ONE_BYTE = {0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A}
TWO_BYTES = {0x13, 0x21, 0x22}
FOUR_BYTES = {0x02, 0x11, 0x18, 0x27}
TEXTS = {0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F}
BINARY = {0x09, 0x16}
# Table 2-4 of the specification; user properties go everywhere.
ALLOWED = {
    "CONNECT": (OF_CONNECT, {0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x27}),
    "will": (OF_WILL, {0x01, 0x02, 0x03, 0x08, 0x09, 0x18}),
    "CONNACK": (
        OF_CONNACK,
        {0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x27}
        | {0x28, 0x29, 0x2A},
    ),
    "DISCONNECT": (OF_DISCONNECT, {0x11, 0x1C, 0x1F}),
}
packets = pytest.mark.parametrize(("rules", "allowed"), ALLOWED.values(), ids=ALLOWED.keys())


def one(identifier: int) -> tuple[bytes, int | str | bytes]:
    """A property with a valid value, and that value."""
    if identifier in ONE_BYTE:
        return bytes([identifier, 1]), 1
    if identifier in TWO_BYTES:
        return bytes([identifier, 1, 2]), 0x0102
    if identifier in FOUR_BYTES:
        return bytes([identifier, 1, 2, 3, 4]), 0x01020304
    data = bytes([identifier]) + b"\0\2ab"
    return data, b"ab" if identifier in BINARY else "ab"


def read(data: bytes, rules=OF_CONNECT):
    section = varint(len(data)) + data
    found, at = parse_properties(b"?" + section + b"rest", 1, 1 + len(section), rules)
    assert at == 1 + len(section)
    return found


def refused(data: bytes, rules=OF_CONNECT) -> str:
    with pytest.raises(MqttError) as caught:
        read(data, rules)
    assert caught.value.fault is Fault.MALFORMED
    return caught.value.message


@packets
def test_what_belongs_to_a_packet_is_read_and_all_else_refused(rules, allowed):
    for identifier in range(256):
        if identifier == Property.USER_PROPERTY:
            continue
        method = one(0x15)[0] if identifier == Property.AUTHENTICATION_DATA else b""
        if identifier in allowed:
            data, value = one(identifier)
            assert read(method + data, rules).values[identifier] == value
        else:
            words = f"property 0x{identifier:02X} does not belong here"
            assert words in refused(bytes([identifier]) + bytes(8), rules)


@packets
def test_all_properties_together_keep_their_values(rules, allowed):
    data = b"".join(one(identifier)[0] for identifier in sorted(allowed))
    assert read(data, rules).values == {identifier: one(identifier)[1] for identifier in allowed}


@packets
def test_only_user_properties_may_come_twice(rules, allowed):
    for identifier in allowed - {Property.AUTHENTICATION_DATA}:
        assert "is there twice" in refused(one(identifier)[0] * 2, rules)
    user = b"\x26\0\1a\0\1b"
    assert read(user + b"\x26\0\1a\0\0" + user, rules).user == (("a", "b"), ("a", ""), ("a", "b"))


@packets
def test_no_part_of_a_property_is_enough(rules, allowed):
    for identifier in allowed - {Property.AUTHENTICATION_DATA}:
        data = one(identifier)[0]
        for have in range(1, len(data)):
            assert refused(data[:have], rules)
    user = b"\x26\0\1a\0\1b"
    for have in range(1, len(user)):
        assert "a user property" in refused(user[:have], rules)


@pytest.mark.parametrize("identifier", [0x21, 0x27])
@pytest.mark.parametrize("rules", [OF_CONNECT, OF_CONNACK])
def test_maxima_of_nothing_are_refused_and_those_of_one_are_not(identifier, rules):
    zeros = bytes(len(one(identifier)[0]) - 2)
    assert "is 0, it must be 1 to" in refused(bytes([identifier]) + zeros + b"\0", rules)
    assert read(bytes([identifier]) + zeros + b"\1", rules).number(identifier) == 1


@packets
def test_numbers_may_be_as_great_as_their_bytes(rules, allowed):
    for identifier in allowed & (TWO_BYTES | FOUR_BYTES):
        size = 2 if identifier in TWO_BYTES else 4
        found = read(bytes([identifier]) + b"\xff" * size, rules)
        assert found.number(identifier) == 256**size - 1


@packets
def test_yes_is_1_and_no_is_0(rules, allowed):
    for identifier in allowed & ONE_BYTE:
        assert read(bytes([identifier, 0]), rules).number(identifier) == 0
        assert "is 2, it must be 0 to 1" in refused(bytes([identifier, 2]), rules)


def test_names_in_messages_are_the_specifications():
    assert refused(b"\x21\0\0").startswith("Receive Maximum ")


def test_authentication_data_needs_a_method():
    assert "without Authentication Method" in refused(one(0x16)[0])
    assert read(one(0x16)[0] + one(0x15)[0]).data(Property.AUTHENTICATION_DATA) == b"ab"


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (b"", "property length is missing"),
        (b"\x80", "property length is missing"),
        (b"\x01", "properties of 1 bytes, but 0 are left"),
        (b"\x80\0", "more bytes than needed"),
        (b"\x80\x80\x80\x80\x01", "more than 4 bytes"),
        (b"\xff\xff\xff\x7f\x17\1", "268435455 bytes, but 2 are left"),
    ],
)
def test_the_property_length_is_checked(section, words):
    with pytest.raises(MqttError, match=words) as caught:
        parse_properties(section, 0, len(section), OF_CONNECT)
    assert caught.value.fault is Fault.MALFORMED


@pytest.mark.parametrize("data", [b"\x26\0\1\xff\0\0", b"\x26\0\0\0\1\0", b"\x15\0\2\xc3("])
def test_texts_are_utf_8_without_u_0000(data):
    assert refused(data)


def test_no_properties_are_no_objects_of_their_own():
    assert read(b"") is NO_PROPERTIES


def test_an_accessor_gives_only_its_own_type():
    found = read(one(0x15)[0] + one(0x21)[0])
    assert found.number(0x15) is None
    assert found.data(0x15) is None
    assert found.text(0x21) is None
    assert found.text(0x22) is None


def test_properties_in_a_connect_end_where_their_length_says():
    # A Receive Maximum that would need the first byte of what follows.
    packet = connect(5, properties=b"\x21\0")
    with pytest.raises(MqttError, match="Receive Maximum is cut off"):
        parse_connect(packet, limit=LIMIT)


def test_wills_have_properties_of_their_own():
    packet = connect(5, will=WILL, will_properties=one(0x21)[0])
    with pytest.raises(MqttError, match="0x21 does not belong here") as caught:
        parse_connect(packet, limit=LIMIT)
    assert caught.value.version == 5


def test_encoded_properties_are_read_back():
    texts = {Property.REASON_STRING: "ü" * 100, Property.SERVER_REFERENCE: None}
    section = encode_properties(texts)
    found, at = parse_properties(section, 0, len(section), OF_CONNACK)
    assert at == len(section) == 2 + 3 + 200
    assert found.values == {Property.REASON_STRING: "ü" * 100}
