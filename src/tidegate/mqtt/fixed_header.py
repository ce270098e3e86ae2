"""The two to five bytes that every packet begins with (MQTT 5, section 2.1).

The length in them is a variable byte integer: seven bits a byte, the low ones first, the top bit
set where another byte follows; four bytes at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from tidegate.mqtt.errors import Fault, MqttError, malformed

# Packets as they come in; a memoryview must be one of bytes ("B"), in one piece.
Data = bytes | bytearray | memoryview

CONTINUES = 0x80
MAX_LENGTH_BYTES = 4
MAX_REMAINING_LENGTH = 268_435_455  # what four bytes hold
MIN_PACKET = 2


class PacketType(IntEnum):
    """Control packet types, the high half of the first byte (MQTT 5, section 2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


@dataclass(frozen=True, slots=True)
class Need:
    """Not decidable yet: `size` bytes from the packet's first on are the least that may do."""

    size: int


class FixedHeader(NamedTuple):
    """`body` is the offset of the first byte behind the header, `end` that behind the packet."""

    body: int
    end: int


def packet_type(data: Data) -> PacketType | None:
    """The type of the packet that `data` begins with; None without data or for the type 0."""
    number = data[0] >> 4 if data else 0
    return PacketType(number) if number else None


def parse_fixed_header(data: Data, *, limit: int) -> FixedHeader | Need:
    """Where the packet that `data` begins with has its body and its end; the type is not looked at.

    The length need not be written as short as possible: MQTT 3 does not demand it. Raises MqttError
    for a length of more than four bytes, and oversize for a packet, with its header, of more than
    `limit` bytes.
    """
    have = len(data)
    if have >= MIN_PACKET and data[1] < CONTINUES:
        header = FixedHeader(MIN_PACKET, MIN_PACKET + data[1])
    else:
        length, at = 0, 1
        while True:
            if at >= have:
                need = max(at + 1, MIN_PACKET)
                if need > limit:
                    raise _oversize(need, limit)
                return Need(need)
            length |= (data[at] & ~CONTINUES) << 7 * (at - 1)
            at += 1
            if data[at - 1] < CONTINUES:
                break
            if at > MAX_LENGTH_BYTES:
                raise malformed("the remaining length has more than 4 bytes")
        header = FixedHeader(at, at + length)
    if header.end > limit:
        raise _oversize(header.end, limit)
    return header


def encode_length(value: int) -> bytes:
    """`value` as a variable byte integer, as short as possible; MqttError where four bytes fail."""
    if not 0 <= value <= MAX_REMAINING_LENGTH:
        raise MqttError(Fault.VALUE, f"{value} is no length: at most {MAX_REMAINING_LENGTH} fit")
    encoded = bytearray()
    while value >= CONTINUES:
        encoded.append(value % CONTINUES | CONTINUES)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def length_is_minimal(data: Data, header: FixedHeader) -> bool:
    """Whether the remaining length is written in as few bytes as can be."""
    return header.body == MIN_PACKET or data[header.body - 1] != 0


def _oversize(size: int, limit: int) -> MqttError:
    return MqttError(Fault.OVERSIZE, f"a packet of at least {size} bytes, the limit is {limit}")
