"""What a WebSocket client of the generator sends: the request for an upgrade, masked frames."""

from __future__ import annotations

import base64
import hashlib
import secrets
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# What a server puts behind the client's key before it hashes it (RFC 6455, 1.3).
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FIN_BINARY = 0x82
MASKED = 0x80
MASK_SIZE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocket:
    """The way of all connections of a generator through WebSocket.

    `requests` and `accepts` (28 bytes each) have one for each connection; `mask` is that of all
    frames, random as RFC 6455, 5.3 wants it, but for the run and not for the frame.
    """

    requests: Sequence[bytes]
    accepts: bytes
    mask: bytes

    def packet(self, packet: bytes) -> bytes:
        """A frame with one packet."""
        return _head(len(packet), self.mask) + masked(packet, self.mask)

    def message_head(self, head: bytes, *, size: int) -> bytes:
        """A frame up to the payload of `size` bytes that follows `head` in it.

        Its mask is turned so that the payload is masked by `mask` from its own first byte on.
        """
        turn = -len(head) % MASK_SIZE
        mask = self.mask[turn:] + self.mask[:turn]
        return _head(len(head) + size, mask) + masked(head, mask)

    def payload(self, payload: bytes) -> bytes:
        """A payload behind any such head."""
        return masked(payload, self.mask)


def websocket(*, count: int, host: str, path: str) -> WebSocket:
    """Requests for so many connections to `host`, which is as in a Host header."""
    requests, accepts = [], []
    for _ in range(count):
        key = base64.b64encode(secrets.token_bytes(16))
        requests.append(request(host, path, key))
        digest = hashlib.sha1(key + GUID, usedforsecurity=False).digest()
        accepts.append(base64.b64encode(digest))
    return WebSocket(
        requests=requests, accepts=b"".join(accepts), mask=secrets.token_bytes(MASK_SIZE)
    )


def request(host: str, path: str, key: bytes) -> bytes:
    """What asks for an upgrade (RFC 6455, 4.1; sub-protocol: MQTT 5, 6)."""
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key.decode()}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: mqtt",
    )
    return "\r\n".join((*lines, "", "")).encode()


def masked(data: bytes, mask: bytes) -> bytes:
    """Each byte XOR the mask's."""
    size = len(data)
    whole = (mask * (size // MASK_SIZE + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")


def _head(size: int, mask: bytes) -> bytes:
    if size < 126:  # noqa: PLR2004 RFC 6455, 5.2
        return bytes([FIN_BINARY, MASKED | size]) + mask
    if size < 1 << 16:
        return struct.pack("!BBH", FIN_BINARY, MASKED | 126, size) + mask
    return struct.pack("!BBQ", FIN_BINARY, MASKED | 127, size) + mask
