"""The data types that packets are made of (MQTT 5, section 1.5): how to read and to write them.

Readers take the packet, the offset of the value and the end of what it may fill; they give the
value and the offset behind it. They raise MqttError (malformed); `what` names the field in it.
"""

from __future__ import annotations

import re

from tidegate.mqtt.errors import Fault, MqttError, malformed
from tidegate.mqtt.fixed_header import CONTINUES, MAX_LENGTH_BYTES

MAX_FIELD = 65_535  # what the two bytes in front of a string hold
CONTROL_CHARACTER = re.compile("[\x00-\x1f\x7f-\x9f]")


def read_binary(packet: bytes, at: int, end: int, what: str) -> tuple[bytes, int]:
    """Binary data: a length of two bytes and as many bytes."""
    left = end - at - 2
    if left < 0:
        raise malformed(f"{what} is missing")
    size = packet[at] << 8 | packet[at + 1]
    if size > left:
        raise malformed(f"{what} of {size} bytes, but {left} are left")
    at += 2
    return packet[at : at + size], at + size


def read_text(packet: bytes, at: int, end: int, what: str) -> tuple[str, int]:
    """A UTF-8 string. Surrogates and U+0000 are refused, other control characters are not."""
    data, at = read_binary(packet, at, end, what)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise malformed(f"{what} is no UTF-8 at its byte {error.start}") from None
    if "\0" in text:
        raise malformed(f"{what} holds U+0000")
    return text, at


def read_length(packet: bytes, at: int, end: int, what: str) -> tuple[int, int]:
    """A variable byte integer inside a packet, which MQTT 5 wants as short as possible."""
    value = 0
    for position in range(MAX_LENGTH_BYTES):
        if at >= end:
            raise malformed(f"{what} is missing")
        byte = packet[at]
        at += 1
        value |= (byte & ~CONTINUES) << 7 * position
        if byte < CONTINUES:
            if position and not byte:
                raise malformed(f"{what} is written with more bytes than needed")
            return value, at
    raise malformed(f"{what} has more than 4 bytes")


def encode_text(value: str, what: str) -> bytes:
    """`value` as a UTF-8 string with its length.

    Raises MqttError (value) for more than 65,535 bytes, for surrogates, and for the control
    characters that nodes may refuse (MQTT 5, section 1.5.4). The message does not hold the value.
    """
    if control := CONTROL_CHARACTER.search(value):
        code = ord(control[0])
        raise MqttError(Fault.VALUE, f"{what} holds the control character U+{code:04X}")
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise MqttError(Fault.VALUE, f"{what} is no valid UTF-8") from None
    return encode_binary(data, what)


def encode_binary(data: bytes, what: str) -> bytes:
    """`data` with its length; raises MqttError (value) for more than 65,535 bytes."""
    if len(data) > MAX_FIELD:
        raise MqttError(Fault.VALUE, f"{what} has {len(data)} bytes, at most {MAX_FIELD} fit")
    return len(data).to_bytes(2, "big") + data
