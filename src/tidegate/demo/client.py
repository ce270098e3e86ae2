"""A small MQTT 3.1.1 client: QoS 0, no session, enough to subscribe, publish and be counted.

Written here so that the demo runs on what `pip install tidegate` brings; a full client is an
optional extra, and its reconnecting thread would hide what the demo is about.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNECT, CONNACK, PUBLISH, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 1, 2, 3, 8, 9, 12, 14
CLEAN_SESSION = 0x02
KEEPALIVE = 30  # seconds; the device publishes more often, so that no ping is due before
ANSWER_WITHIN = 5.0  # seconds for CONNACK and SUBACK
LARGEST = 1 << 20  # a message above this is none of the demo's; the connection is given up


class LostError(Exception):
    """The connection ended, was refused, or spoke something else than MQTT."""


class Client:
    """One connection; made by `connect`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, host: str, port: int, client_id: str) -> Client:
        """Connect and wait for the broker's yes; raises `LostError`."""
        try:
            client = cls(*await asyncio.open_connection(host, port))
        except OSError as error:
            raise LostError(str(error)) from error
        try:
            await client._introduce(client_id)
        except BaseException:
            await client.close()
            raise
        return client

    async def subscribe(self, topic: str) -> None:
        """Subscribe and wait for the answer; raises `LostError`."""
        self._send(SUBSCRIBE << 4 | 2, b"\x00\x01" + _text(topic) + b"\x00")
        await self._expect(SUBACK)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send one message; the loss of the connection shows in `messages`."""
        self._send(PUBLISH << 4, _text(topic) + payload)

    def ping(self) -> None:
        """Tell the broker that we are there."""
        self._send(PINGREQ << 4, b"")

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """Each message that comes as (topic, payload), until `LostError`."""
        while True:
            kind, body = await self._packet()
            if kind >> 4 == PUBLISH:
                size = int.from_bytes(body[:2], "big")
                start = 2 + size + (2 if kind & 0x06 else 0)
                yield body[2 : 2 + size].decode(errors="replace"), body[start:]

    async def close(self) -> None:
        """Say goodbye, as far as that is still possible."""
        with contextlib.suppress(OSError, RuntimeError):
            self._send(DISCONNECT << 4, b"")
            self._writer.close()
            await self._writer.wait_closed()

    async def _introduce(self, client_id: str) -> None:
        self._send(CONNECT << 4, _connect(client_id))
        code = (await self._expect(CONNACK))[1]
        if code != 0:
            raise LostError(f"refused with code {code}")

    async def _expect(self, wanted: int) -> bytes:
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                while True:
                    kind, body = await self._packet()
                    if kind >> 4 == wanted and len(body) >= 2:  # noqa: PLR2004 - CONNACK's length
                        return body
        except TimeoutError:
            raise LostError(f"no answer within {ANSWER_WITHIN:g} s") from None

    async def _packet(self) -> tuple[int, bytes]:
        try:
            kind = (await self._reader.readexactly(1))[0]
            length = shift = 0
            while True:
                digit = (await self._reader.readexactly(1))[0]
                length |= (digit & 0x7F) << shift
                shift += 7
                if digit < 0x80:  # noqa: PLR2004 - the bit that says more digits follow
                    break
                if length > LARGEST:
                    raise LostError("a packet of more than 1 MiB")
            if length > LARGEST:
                raise LostError("a packet of more than 1 MiB")
            return kind, await self._reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise LostError("the connection ended") from error

    def _send(self, kind: int, body: bytes) -> None:
        self._writer.write(bytes([kind]) + _length(len(body)) + body)


def _connect(client_id: str) -> bytes:
    level = b"\x04"
    return (
        _text("MQTT")
        + level
        + bytes([CLEAN_SESSION])
        + struct.pack("!H", KEEPALIVE)
        + _text(client_id)
    )


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def _length(size: int) -> bytes:
    digits = bytearray()
    while True:
        size, digit = divmod(size, 128)
        digits.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(digits)
