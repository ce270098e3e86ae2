"""Properties of MQTT 5 (section 2.2.2): which packet may hold which, and how each is read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from tidegate.mqtt.errors import malformed
from tidegate.mqtt.fields import encode_text, read_binary, read_length, read_text
from tidegate.mqtt.fixed_header import encode_length

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Value = int | str | bytes
    Reader = Callable[[bytes, int, int, str], tuple[Value, int]]
    # Identifier → the property's name as the specification writes it, and its reader.
    Rules = Mapping[int, tuple[str, Reader]]


class Property(IntEnum):
    """Identifiers of the properties that CONNECT, wills, CONNACK and DISCONNECT know."""

    PAYLOAD_FORMAT_INDICATOR = 0x01
    MESSAGE_EXPIRY_INTERVAL = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SESSION_EXPIRY_INTERVAL = 0x11
    ASSIGNED_CLIENT_IDENTIFIER = 0x12
    SERVER_KEEP_ALIVE = 0x13
    AUTHENTICATION_METHOD = 0x15
    AUTHENTICATION_DATA = 0x16
    REQUEST_PROBLEM_INFORMATION = 0x17
    WILL_DELAY_INTERVAL = 0x18
    REQUEST_RESPONSE_INFORMATION = 0x19
    RESPONSE_INFORMATION = 0x1A
    SERVER_REFERENCE = 0x1C
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER_PROPERTY = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28
    SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29
    SHARED_SUBSCRIPTION_AVAILABLE = 0x2A


@dataclass(frozen=True, slots=True)
class Properties:
    """The properties of one packet: `values` by identifier, user properties in order, all kept."""

    values: Mapping[int, Value]
    user: tuple[tuple[str, str], ...]

    def number(self, identifier: int) -> int | None:
        """The value of an integer property, None if it was not sent."""
        value = self.values.get(identifier)
        return value if isinstance(value, int) else None

    def text(self, identifier: int) -> str | None:
        """The value of a string property, None if it was not sent."""
        value = self.values.get(identifier)
        return value if isinstance(value, str) else None

    def data(self, identifier: int) -> bytes | None:
        """The value of a binary property, None if it was not sent."""
        value = self.values.get(identifier)
        return value if isinstance(value, bytes) else None


NO_PROPERTIES = Properties({}, ())

# Plain integers: in CPython 3.11 the member of an enumeration takes ten times as long to look up.
USER_PROPERTY = int(Property.USER_PROPERTY)
AUTHENTICATION_METHOD = int(Property.AUTHENTICATION_METHOD)
AUTHENTICATION_DATA = int(Property.AUTHENTICATION_DATA)


# Clients send a handful. Each costs microseconds to read, and 16 KiB hold 3,000 empty ones: without
# a bound one CONNECT could keep a worker busy for 10 ms.
MOST_USER_PROPERTIES = 256


def parse_properties(packet: bytes, at: int, end: int, rules: Rules) -> tuple[Properties, int]:
    """Read the property length at `at` and what it spans; also gives the offset behind that.

    Raises MqttError (malformed) for what `rules` do not hold, for values that the specification
    forbids, and for all but user properties when they come twice.
    """
    if at < end and not packet[at]:
        return NO_PROPERTIES, at + 1
    size, at = read_length(packet, at, end, "the property length")
    if size > end - at:
        raise malformed(f"properties of {size} bytes, but {end - at} are left")
    end = at + size
    values: dict[int, Value] = {}
    user: list[tuple[str, str]] = []
    while at < end:
        identifier = packet[at]
        if identifier == USER_PROPERTY:
            key, at = read_text(packet, at + 1, end, "the name of a user property")
            text, at = read_text(packet, at, end, "the value of a user property")
            user.append((key, text))
            if len(user) > MOST_USER_PROPERTIES:
                raise malformed(f"more than {MOST_USER_PROPERTIES} user properties")
            continue
        rule = rules.get(identifier)
        if rule is None:
            raise malformed(f"property 0x{identifier:02X} does not belong here")
        name, read = rule
        if identifier in values:
            raise malformed(f"{name} is there twice")
        values[identifier], at = read(packet, at + 1, end, name)
    if AUTHENTICATION_DATA in values and AUTHENTICATION_METHOD not in values:
        raise malformed("Authentication Data without Authentication Method")
    return Properties(values, tuple(user)), at


def encode_properties(texts: Mapping[Property, str | None]) -> bytes:
    """String properties in the order of `texts` (None: left out), with the property length."""
    encoded = b"".join(
        [
            bytes([identifier]) + encode_text(text, _title(identifier))
            for identifier, text in texts.items()
            if text is not None
        ]
    )
    return encode_length(len(encoded)) + encoded


def _integer(size: int, *, least: int = 0, most: int | None = None) -> Reader:
    """A reader of an integer of `size` bytes; what is not within `least` and `most` is refused."""
    greatest = most if most is not None else 256**size - 1

    def read(packet: bytes, at: int, end: int, what: str) -> tuple[int, int]:
        if end - at < size:
            raise malformed(f"{what} is cut off")
        value = int.from_bytes(packet[at : at + size], "big")
        if not least <= value <= greatest:
            raise malformed(f"{what} is {value}, it must be {least} to {greatest}")
        return value, at + size

    return read


def _title(identifier: Property) -> str:
    return identifier.name.replace("_", " ").title()


def _rules(readers: Mapping[Property, Reader]) -> Rules:
    return {int(identifier): (_title(identifier), read) for identifier, read in readers.items()}


OF_CONNECT = _rules(
    {
        Property.SESSION_EXPIRY_INTERVAL: _integer(4),
        Property.RECEIVE_MAXIMUM: _integer(2, least=1),
        Property.MAXIMUM_PACKET_SIZE: _integer(4, least=1),
        Property.TOPIC_ALIAS_MAXIMUM: _integer(2),
        Property.REQUEST_RESPONSE_INFORMATION: _integer(1, most=1),
        Property.REQUEST_PROBLEM_INFORMATION: _integer(1, most=1),
        Property.AUTHENTICATION_METHOD: read_text,
        Property.AUTHENTICATION_DATA: read_binary,
    }
)

OF_WILL = _rules(
    {
        Property.WILL_DELAY_INTERVAL: _integer(4),
        Property.PAYLOAD_FORMAT_INDICATOR: _integer(1, most=1),
        Property.MESSAGE_EXPIRY_INTERVAL: _integer(4),
        Property.CONTENT_TYPE: read_text,
        Property.RESPONSE_TOPIC: read_text,
        Property.CORRELATION_DATA: read_binary,
    }
)

OF_CONNACK = _rules(
    {
        Property.SESSION_EXPIRY_INTERVAL: _integer(4),
        Property.RECEIVE_MAXIMUM: _integer(2, least=1),
        Property.MAXIMUM_QOS: _integer(1, most=1),
        Property.RETAIN_AVAILABLE: _integer(1, most=1),
        Property.MAXIMUM_PACKET_SIZE: _integer(4, least=1),
        Property.ASSIGNED_CLIENT_IDENTIFIER: read_text,
        Property.TOPIC_ALIAS_MAXIMUM: _integer(2),
        Property.REASON_STRING: read_text,
        Property.WILDCARD_SUBSCRIPTION_AVAILABLE: _integer(1, most=1),
        Property.SUBSCRIPTION_IDENTIFIER_AVAILABLE: _integer(1, most=1),
        Property.SHARED_SUBSCRIPTION_AVAILABLE: _integer(1, most=1),
        Property.SERVER_KEEP_ALIVE: _integer(2),
        Property.RESPONSE_INFORMATION: read_text,
        Property.SERVER_REFERENCE: read_text,
        Property.AUTHENTICATION_METHOD: read_text,
        Property.AUTHENTICATION_DATA: read_binary,
    }
)

OF_DISCONNECT = _rules(
    {
        Property.SESSION_EXPIRY_INTERVAL: _integer(4),
        Property.REASON_STRING: read_text,
        Property.SERVER_REFERENCE: read_text,
    }
)
