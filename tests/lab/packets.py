"""The few MQTT packets that raw sockets need, and many idle connections at once."""

import asyncio
import socket
import struct

from lab.sockets import open_raw, receive

PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
CONNACK_OK = b"\x20\x02\x00\x00"
DISCONNECT = b"\xe0\x00"


def connect(client_id, *, keepalive=0) -> bytes:
    """A CONNECT of MQTT 3.1.1 with a clean session."""
    return _packet(
        0x10, _text("MQTT") + b"\x04\x02" + struct.pack("!H", keepalive) + _text(client_id)
    )


def subscribe(topic, *, qos=0, number=1) -> bytes:
    """A SUBSCRIBE of MQTT 3.1.1 for one topic."""
    return _packet(0x82, struct.pack("!H", number) + _text(topic) + bytes([qos]))


def publish(topic, payload) -> bytes:
    """A PUBLISH with QoS 0."""
    return _packet(0x30, _text(topic) + payload)


def open_mqtt(port, client_id, **options) -> socket.socket:
    """A socket on which a broker has accepted a CONNECT; `options` as for `open_raw`."""
    sock = open_raw(port, **options)
    sock.sendall(connect(client_id))
    answer = receive(sock, 4)
    assert answer == CONNACK_OK, answer
    return sock


class Crowd:
    """Many idle MQTT connections in one task."""

    def __init__(self, port):
        self.port = port
        self.streams = []

    async def connect(self, count, *, at_once=100):
        """Open `count` sessions, `at_once` at the same time."""
        gate = asyncio.Semaphore(at_once)

        async def one(number):
            async with gate:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                self.streams.append((reader, writer))
                writer.write(connect(f"idle-{number}"))
                assert await reader.readexactly(4) == CONNACK_OK

        await asyncio.gather(*(one(number) for number in range(count)))

    async def ping(self):
        """One PINGREQ on each, and its answer."""
        for _, writer in self.streams:
            writer.write(PINGREQ)
        for reader, _ in self.streams:
            assert await reader.readexactly(2) == PINGRESP

    async def close(self):
        """Close all."""
        for _, writer in self.streams:
            writer.transport.abort()
        await asyncio.gather(
            *(writer.wait_closed() for _, writer in self.streams), return_exceptions=True
        )


def _packet(kind, body) -> bytes:
    length, size = bytearray(), len(body)
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes([kind]) + bytes(length) + body


def _text(value) -> bytes:
    data = value.encode()
    return struct.pack("!H", len(data)) + data
