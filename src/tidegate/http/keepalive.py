"""How long a client of MQTT by WebSocket may be silent: what its CONNECT says, read in passing.

The frames go by unchanged; here is only looked at what came first (RFC 6455, section 5; MQTT,
section 3.1). The limit is the broker's own: one and a half times the keep alive.
"""

from __future__ import annotations

from typing import Final

from tidegate.engine.outcome import Heard, Need
from tidegate.mqtt.version import MQTT_5
from tidegate.wire.websocket import BINARY, CONTINUATION, WebSocketError, read_frame

FACTOR: Final = 1.5
# Where the CONNECT tells no limit, or the node may tell another: stream's `proxy_timeout`.
WITHOUT_MS: Final = 600_000

CONNECT: Final = 0x10
LONGEST_LENGTH: Final = 4  # bytes of a packet's length
# Of a CONNECT up to its keep alive: the first byte, a length, a name of at most 6, level, flags.
ENOUGH: Final = 1 + LONGEST_LENGTH + 2 + 6 + 1 + 1 + 2


def heard(data: bytes, *, ended: bool) -> Need | Heard:
    """What follows from the client's first bytes; `ended` tells that no more is shown."""
    payload = payload_of(data)
    found = None if payload is None else keepalive_of(payload)
    if payload is not None and found is None and len(payload) < ENOUGH and not ended:
        return Need(len(data) + 1)
    if found is None:
        return Heard()
    version, seconds = found
    idle_ms = int(seconds * FACTOR * 1000)
    if not idle_ms or version == MQTT_5:
        idle_ms = max(idle_ms, WITHOUT_MS)
    return Heard(idle_ms=idle_ms)


def payload_of(data: bytes) -> bytes | None:
    """The first bytes of the messages in a client's frames; None where these are none."""
    payload, at = b"", 0
    try:
        while len(payload) < ENOUGH:
            frame = read_frame(data, at, from_client=True)
            if frame is None:
                break
            if frame.opcode in (BINARY, CONTINUATION):
                payload += frame.payload
            at += frame.size
    except WebSocketError:
        return None
    return payload


def keepalive_of(packet: bytes) -> tuple[int, int] | None:
    """Version and keep alive in seconds of a CONNECT, which may be cut; None where it is none."""
    if not packet or packet[0] & 0xF0 != CONNECT:
        return None
    at = 1
    while at < len(packet) and packet[at] & 0x80 and at < LONGEST_LENGTH:
        at += 1
    at += 1
    name = int.from_bytes(packet[at : at + 2], "big")
    at += 2 + name
    if len(packet) < at + 4:
        return None
    return packet[at], int.from_bytes(packet[at + 2 : at + 4], "big")
