"""The few MQTT packets that raw sockets need, and many idle connections at once."""

import asyncio
import socket
import struct

from lab.sockets import open_raw, receive

PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
CONNACK_OK = b"\x20\x02\x00\x00"
DISCONNECT = b"\xe0\x00"


def connect(client_id, *, keepalive=0, version=4, properties=b"") -> bytes:
    """A CONNECT of MQTT 3.1 (3), 3.1.1 (4) or 5 with a clean session."""
    name = _text("MQIsdp" if version == 3 else "MQTT")
    body = name + bytes([version, 2]) + struct.pack("!H", keepalive)
    return _packet(0x10, body + _properties(version, properties) + _text(client_id))


def connack(code=0, *, version=4, properties=b"") -> bytes:
    """A CONNACK with no session present."""
    return _packet(0x20, bytes([0, code]) + _properties(version, properties))


def subscribe(topic, *, qos=0, number=1) -> bytes:
    """A SUBSCRIBE of MQTT 3.1.1 for one topic."""
    return _packet(0x82, struct.pack("!H", number) + _text(topic) + bytes([qos]))


def publish(topic, payload, *, qos=0, number=1, version=4) -> bytes:
    """A PUBLISH."""
    identifier = struct.pack("!H", number) if qos else b""
    body = _text(topic) + identifier + _properties(version, b"") + payload
    return _packet(0x30 | qos << 1, body)


def read_packet(sock) -> tuple[int, bytes]:
    """The next packet's first byte and what follows its length; (0, b"") at the end."""
    first = receive(sock, 1)
    if not first:
        return 0, b""
    size = shift = 0
    while True:
        [digit] = receive(sock, 1)
        size |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            return first[0], receive(sock, size)


def open_mqtt(port, client_id, *, keepalive=0, **options) -> socket.socket:
    """A socket on which a broker has accepted a CONNECT; `options` as for `open_raw`."""
    sock = open_raw(port, **options)
    sock.sendall(connect(client_id, keepalive=keepalive))
    answer = receive(sock, 4)
    assert answer == CONNACK_OK, answer
    return sock


class Crowd:
    """Many idle MQTT connections in one task."""

    def __init__(self, port, *, first=b""):
        """`first` is what each sends before its CONNECT."""
        self.port = port
        self.first = first
        self.streams = []

    async def connect(self, count, *, at_once=100):
        """Open `count` sessions, `at_once` at the same time."""
        gate = asyncio.Semaphore(at_once)

        async def one(number):
            async with gate:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                self.streams.append((reader, writer))
                writer.write(self.first + connect(f"idle-{number}"))
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


def user_property(name="", value="") -> bytes:
    """One user property of MQTT 5."""
    return b"\x26" + _text(name) + _text(value)


def _packet(kind, body) -> bytes:
    return bytes([kind]) + _length(len(body)) + body


def _length(size) -> bytes:
    length = bytearray()
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(length)


def _properties(version, properties) -> bytes:
    return _length(len(properties)) + properties if version == 5 else b""


def _text(value) -> bytes:
    data = value.encode()
    return struct.pack("!H", len(data)) + data
