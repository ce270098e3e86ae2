"""The packets that a load generator sends, of MQTT 3.1, 3.1.1 and 5."""

from __future__ import annotations

import struct

# Protocol name and level by version (MQTT 3.1, 3.1; MQTT 3.1.1 and 5, 3.1.2.1).
PROTOCOLS = {"3.1": (b"MQIsdp", 3), "3.1.1": (b"MQTT", 4), "5": (b"MQTT", 5)}
CLEAN_START = 0x02
# Remaining Length has four digits of seven bits (MQTT 5, 1.5.5).
MOST_REMAINING = 2**28 - 1
LONGEST_TEXT = 0xFFFF
PACKET_ID = b"\0\x01"


def connect(
    client_id: str,
    *,
    version: str,
    keepalive: int = 0,
    username: str | None = None,
    password: str | None = None,
) -> bytes:
    """A CONNECT with a clean start; `keepalive` in seconds, `version` a key of PROTOCOLS."""
    name, level = PROTOCOLS[version]
    flags = CLEAN_START
    fields = [text(client_id)]
    if username is not None:
        flags |= 0x80
        fields.append(text(username))
    if password is not None:
        flags |= 0x40
        fields.append(text(password))
    head = struct.pack("!H", len(name)) + name + struct.pack("!BBH", level, flags, keepalive)
    return _packet(0x10, head + _properties(version) + b"".join(fields))


def subscribe(topic: str, *, version: str, qos: int) -> bytes:
    """A SUBSCRIBE to one topic filter."""
    body = PACKET_ID + _properties(version) + text(topic) + bytes([qos])
    return _packet(0x82, body)


def publish_head(topic: str, *, version: str, qos: int, size: int) -> bytes:
    """A PUBLISH up to its payload of `size` bytes; the packet identifier is 1."""
    body = text(topic) + (PACKET_ID if qos else b"") + _properties(version)
    return bytes([0x30 | qos << 1]) + _length(len(body) + size) + body


def id_tail(*, version: str, qos: int) -> int:
    """How many bytes before the payload the packet identifier of a PUBLISH begins; 0: no such."""
    return len(PACKET_ID) + len(_properties(version)) if qos else 0


def text(value: str) -> bytes:
    """A string with its length (MQTT 5, 1.5.4); ValueError where it is too long."""
    data = value.encode()
    if len(data) > LONGEST_TEXT:
        raise ValueError(f"a text of {len(data)} bytes is too long for MQTT")
    return struct.pack("!H", len(data)) + data


def _properties(version: str) -> bytes:
    return b"\0" if version == "5" else b""


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + _length(len(body)) + body


def _length(value: int) -> bytes:
    if value > MOST_REMAINING:
        raise ValueError(f"a packet of {value} bytes is too long for MQTT")
    digits = bytearray()
    while True:
        value, digit = divmod(value, 128)
        digits.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(digits)
