"""MQTT over the stream rig: CONNECTs that are written out here, and brokers that answer them."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from lab.engine import until
from tidegate.mqtt.connack import encode_connack
from tidegate.mqtt.parse_connect import parse_connect

LIMIT = 1 << 20
PUBLISH = b"\x30\x07\x00\x01aabcd"
PINGREQ = b"\xc0\x00"
WELCOME = encode_connack(5, 0)
REFUSED = encode_connack(5, 0x9C)


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return len(data).to_bytes(2, "big") + data


def connect(client_id, *, version=5, username=None, password=None, keepalive=60, properties=b""):
    """A CONNECT, written out here so that our own codec is not its own witness."""
    name = text("MQIsdp") if version == 3 else text("MQTT")
    flags = 2 | (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
    body = name + bytes([version, flags]) + keepalive.to_bytes(2, "big")
    if version == 5:
        body += bytes([len(properties)]) + properties
    body += text(client_id)
    body += b"" if username is None else text(username)
    body += b"" if password is None else text(password)
    length, rest = bytearray(), len(body)
    while rest >= 128:
        length.append(rest % 128 | 128)
        rest //= 128
    length.append(rest)
    return b"\x10" + bytes(length) + body


class Broker:
    """Answers each CONNECT with the bytes it was given; None is silence, "close" is that."""

    def __init__(self, answer: bytes | str | None) -> None:
        self.answer = answer
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.connects = []
        self.behind = bytearray()
        self.talk = None

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, sock=self.sock)
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def serve(self, reader, writer):
        data = bytearray()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                data += await reader.readexactly(1)
                found = None
                with contextlib.suppress(Exception):
                    found = parse_connect(bytes(data), limit=LIMIT)
                if hasattr(found, "client_id"):
                    break
            self.connects.append(found)
            if isinstance(self.answer, bytes):
                writer.write(self.answer)
            if self.answer != "close":
                if self.talk:
                    await self.talk(writer)
                while more := await reader.read(65536):
                    self.behind += more
        writer.close()


def run(rig, entrance, main, *brokers):
    async def all_of_it():
        rig.serve(entrance)
        for one in brokers:
            await one.__aenter__()
        await main()
        await until(lambda: rig.engine.active == 0)
        for one in brokers:
            await one.__aexit__()
        # Whatever happened, every node was given back.
        assert [rig.board.peer_row(row).conns for row in range(4)] == [0] * 4

    rig.run(all_of_it)


async def visit(sock, packet, *, size=5, more=b"", tls=None, name=None):
    """Send a CONNECT, hear `size` bytes or the end, send more, leave; with `tls` in that."""
    name = name if tls is not None else None
    reader, writer = await asyncio.open_connection(
        *sock.getsockname(), ssl=tls, server_hostname=name
    )
    writer.write(packet)
    answer = b""
    with contextlib.suppress(ConnectionError):
        try:
            answer = await reader.readexactly(size)
        except asyncio.IncompleteReadError as short:
            answer = short.partial
        writer.write(more)
        await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answer
