"""CONNECT packets written by hand, and the ways in which a parser is fed.

The encoding here is the tests' own: it shares nothing with the code under test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.mqtt.fixed_header import Need

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 1 << 28
LEVELS = {3: b"\0\6MQIsdp\3", 4: b"\0\4MQTT\4", 5: b"\0\4MQTT\5"}
NEXT_PACKET = b"\x30\x07\0\1tlater"


def string(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def varint(value: int) -> bytes:
    if value < 128:
        return bytes([value])
    return bytes([value % 128 + 128]) + varint(value // 128)


def framed(body: bytes, first: int = 0x10) -> bytes:
    return bytes([first]) + varint(len(body)) + body


def connect(
    version: int = 4,
    client_id: bytes = b"device-1",
    *,
    flags: int | None = None,
    keepalive: int = 60,
    properties: bytes = b"",
    will: tuple[bytes, bytes] | None = None,
    will_properties: bytes = b"",
    username: bytes | None = None,
    password: bytes | None = None,
) -> bytes:
    """A packet; `flags` are those of the fields with Clean Start unless they are given."""
    fields = string(client_id)
    derived = 0x02
    if will is not None:
        derived |= 0x04
        if version == 5:
            fields += varint(len(will_properties)) + will_properties
        fields += string(will[0]) + string(will[1])
    for bit, field in ((0x80, username), (0x40, password)):
        if field is not None:
            derived |= bit
            fields += string(field)
    head = LEVELS[version] + bytes([derived if flags is None else flags])
    head += keepalive.to_bytes(2, "big")
    if version == 5:
        head += varint(len(properties)) + properties
    return framed(head + fields)


PROPERTIES = (
    b"\x11\0\0\x0e\x10"  # session expiry 3600
    b"\x26\0\1k\0\2v1"
    b"\x21\0\x14"  # receive maximum 20
    b"\x27\0\0\x10\0"  # maximum packet size 4096
    b"\x26\0\1k\0\2v2"
    b"\x22\0\x0a"  # topic alias maximum 10
    b"\x19\1\x17\0"  # response information yes, problem information no
    b"\x15\0\5SCRAM\x16\0\2\0\xff"  # authentication method and data
)
WILL_PROPERTIES = (
    b"\x18\0\0\0\x05\x01\x01\x02\0\0\0\x3c"
    b"\x03\0\4text\x08\0\5reply\x09\0\2\xff\0\x26\0\1w\0\1x\x26\0\1w\0\1x"
)
WILL = (b"gone/device-1", b"\0\xffbinary")

VALID = {
    "3.1": connect(3),
    "3.1 with all": connect(3, will=WILL, flags=0xFE - 0x08, username=b"u", password=b"p"),
    "3.1 with flags of missing user name and password": connect(3, flags=0xC2),
    "3.1 with the flag of a missing password": connect(3, flags=0xC2, username=b"u"),
    "3.1 with unused bits": connect(3, flags=0x3B),
    "3.1 of a bridge": connect(3).replace(b"dp\3", b"dp\x83"),
    "3.1.1": connect(4),
    "3.1.1 without an identifier": connect(4, b""),
    "3.1.1 without an identifier, session kept": connect(4, b"", flags=0),
    "3.1.1 with a long identifier": connect(4, "ü".encode() * 30_000),
    "3.1.1 with a user name": connect(4, username=b"user", keepalive=0),
    "3.1.1 with empty user name and password": connect(4, username=b"", password=b""),
    "3.1.1 with all": connect(4, will=WILL, flags=0xF6, username=b"user", password=b"\0\xff"),
    "3.1.1 with an empty will": connect(4, will=(b"", b"")),
    "3.1.1 of a bridge": connect(4).replace(b"TT\4", b"TT\x84"),
    "3.1.1 with a length longer than needed": b"\x10\x94\x80\0" + connect(4)[2:],
    "5": connect(5),
    "5 with a password alone": connect(5, password=b"token"),
    "5 with all": connect(
        5,
        flags=0xEE,
        will=WILL,
        will_properties=WILL_PROPERTIES,
        properties=PROPERTIES,
        username="gerät".encode(),
        password=b"secret",
    ),
    "5 with a long will": connect(5, will=(b"t", b"x" * 20_480)),
}


def outcomes(parse: Callable[[bytes], object], data: bytes) -> list[object]:
    """Feed `data` as a session does: byte by byte, asking only when what was needed is there."""
    found: list[object] = []
    asked_at = 1
    for have in range(1, len(data) + 1):
        if have < asked_at:
            continue
        result = parse(data[:have])
        found.append(result)
        if not isinstance(result, Need):
            break
        asked_at = result.size
    return found
