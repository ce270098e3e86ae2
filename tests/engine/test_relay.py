"""Bytes arrive once, in order, whatever the pace and the end of either side."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import random
import socket
import struct
from typing import Self

from lab.engine import Forward, until
from tidegate.engine.outcome import Relay

SIOCOUTQ = 0x5411
BLOB = random.Random(1).randbytes(1 << 20)


def reset(sock: socket.socket) -> None:
    """Close so that the other side gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Upstream:
    """A server under the test's control: each connection is a pair of streams in `accepted`."""

    def __init__(self) -> None:
        self.accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )

    async def __aenter__(self) -> Self:
        async def accept(reader, writer):
            await self.accepted.put((reader, writer))

        self.server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1 << 24)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        while not self.accepted.empty():
            self.accepted.get_nowait()[1].close()


async def pair(rig, upstream, forward):
    """A client connected through the engine, and the upstream's end of it."""
    port = rig.listen(forward)
    client = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    return client, await upstream.accepted.get()


def test_a_megabyte_crosses_both_ways_at_once(rig):
    async def main():
        async with Upstream() as upstream:
            forward = Forward(rig, upstream.port)
            (reader, writer), (far_reader, far_writer) = await pair(rig, upstream, forward)
            writer.write(BLOB)
            far_writer.write(BLOB[::-1])
            got = await asyncio.gather(
                far_reader.readexactly(len(BLOB)), reader.readexactly(len(BLOB))
            )
            assert got == [BLOB, BLOB[::-1]]
            writer.close()
            (report,) = await forward.ended()
            assert report.bytes_received == report.bytes_sent == len(BLOB)
            assert report.upstream_bytes_sent == report.upstream_bytes_received == len(BLOB)
            assert (report.reason, report.status) == ("client_closed", 200)
            assert await far_reader.read() == b""
            far_writer.close()

    rig.run(main)


def test_a_slow_reader_gets_everything_and_the_engine_holds_one_read_at_most(rig):
    async def main():
        async with Upstream() as upstream:
            forward = Forward(rig, upstream.port, relay=Relay(timeout_ms=60_000, buffer_size=4096))
            port = rig.listen(forward)
            loop = asyncio.get_running_loop()
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", port))
            _far_reader, far_writer = await upstream.accepted.get()
            far_writer.write(BLOB * 16)
            far_writer.write_eof()
            taken = 0
            # The reader takes nothing until the sender is held back.
            await until(lambda: rig.engine.progress(forward.handles[0]).upstream_bytes_received > 0)
            before = -1
            while before != (before := rig.engine.progress(forward.handles[0]).bytes_sent):
                await asyncio.sleep(0.1)
            report = rig.engine.progress(forward.handles[0])
            assert 0 < report.upstream_bytes_received - report.bytes_sent <= 4096
            digest = bytearray()
            while chunk := await loop.sock_recv(sock, 65536):
                digest += chunk
                taken += len(chunk)
            assert taken == 16 * len(BLOB)
            assert bytes(digest) == BLOB * 16
            sock.close()
            (report,) = await forward.ended()
            assert report.reason == "upstream_closed"
            far_writer.close()

    rig.run(main)


async def unacknowledged(sock: socket.socket) -> None:
    """Wait until the other kernel has everything."""
    await until(lambda: struct.unpack("i", fcntl.ioctl(sock, SIOCOUTQ, b"0000"))[0] == 0)


def test_what_the_upstream_sent_before_its_reset_arrives(rig):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            forward = Forward(rig, server.getsockname()[1])
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.listen(forward))
            far, _ = await loop.sock_accept(server)
            await loop.sock_sendall(far, BLOB[:100_000])
            await unacknowledged(far)
            reset(far)
            assert await reader.read() == BLOB[:100_000]
            writer.close()
            (report,) = await forward.ended()
            assert report.reason == "upstream_error"

    rig.run(main)


def test_what_the_client_sent_before_its_reset_arrives(rig):
    async def main():
        loop = asyncio.get_running_loop()
        async with Upstream() as upstream:
            forward = Forward(rig, upstream.port)
            client = socket.socket()
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", rig.listen(forward)))
            await loop.sock_sendall(client, BLOB[:100_000])
            await unacknowledged(client)
            reset(client)
            far_reader, far_writer = await upstream.accepted.get()
            assert await far_reader.read() == BLOB[:100_000]
            far_writer.close()
            (report,) = await forward.ended()
            assert report.reason == "client_error"

    rig.run(main)


def test_last_words_are_not_destroyed_by_a_client_that_keeps_talking(rig):
    """Closing a socket with unread bytes makes the kernel send a reset; we say our end first."""

    async def main():
        async with Upstream() as upstream:
            forward = Forward(rig, upstream.port)
            (reader, writer), (far_reader, far_writer) = await pair(rig, upstream, forward)
            writer.write(b"x" * 1000)
            await far_reader.readexactly(1000)
            last = BLOB[:200_000]
            far_writer.write(last)
            far_writer.write_eof()
            while not forward.reports:
                writer.write(b"y" * 1000)
                await asyncio.sleep(0)
            writer.write(b"y" * 1000)
            assert await reader.read() == last
            far_writer.close()
            writer.close()
            await forward.ended()

    rig.run(main)


def test_half_close_passes_the_end_on_and_the_answer_still_comes(rig):
    async def main():
        async with Upstream() as upstream:
            relay = Relay(timeout_ms=60_000, buffer_size=16384, half_close=True)
            forward = Forward(rig, upstream.port, relay=relay)
            (reader, writer), (far_reader, far_writer) = await pair(rig, upstream, forward)
            writer.write(BLOB)
            writer.write_eof()
            assert await far_reader.read() == BLOB
            assert not forward.reports
            far_writer.write(BLOB[:5000])
            far_writer.close()
            assert await reader.read() == BLOB[:5000]
            (report,) = await forward.ended()
            assert report.reason == "client_closed"
            writer.close()

    rig.run(main)


def test_without_half_close_one_end_ends_both(rig):
    async def main():
        async with Upstream() as upstream:
            forward = Forward(rig, upstream.port)
            (reader, writer), (far_reader, far_writer) = await pair(rig, upstream, forward)
            writer.write(BLOB)
            writer.write_eof()
            assert await far_reader.read() == BLOB
            assert await reader.read() == b""
            await forward.ended()
            for one in (writer, far_writer):
                one.close()

    rig.run(main)


def test_bytes_sent_before_the_upstream_is_reached_arrive_behind_the_header(rig):
    async def main():
        async with Upstream() as upstream:
            forward = Forward(rig, upstream.port, first=b"PROXY UNKNOWN\r\n")
            port = rig.listen(forward)
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello")
            far_reader, far_writer = await upstream.accepted.get()
            assert await far_reader.readexactly(20) == b"PROXY UNKNOWN\r\nhello"
            writer.close()
            (report,) = await forward.ended()
            assert report.upstream_bytes_sent == 20
            assert report.bytes_received == 5
            far_writer.close()

    rig.run(main)


def test_a_refused_connect_is_answered_with_its_errno_and_the_next_is_tried(rig):
    async def main():
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            async with Upstream() as upstream:
                forward = Forward(rig, closed.getsockname()[1], upstream.port)
                (reader, writer), (_, far_writer) = await pair(rig, upstream, forward)
                far_writer.write(b"welcome")
                assert await reader.readexactly(7) == b"welcome"
                assert forward.errors == [errno.ECONNREFUSED]
                writer.close()
                await forward.ended()
                far_writer.close()

    rig.run(main)


def test_no_node_left_closes_the_client(rig):
    async def main():
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            forward = Forward(rig, closed.getsockname()[1])
            port = rig.listen(forward)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            (report,) = await forward.ended()
            assert (report.reason, report.status) == ("refused", 502)
            writer.close()

    rig.run(main)


def test_the_default_relay_serves_many_sessions(rig):
    async def main():
        async with Upstream() as upstream:
            forward = Forward(rig, upstream.port)
            port = rig.listen(forward)
            clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
            far = [await upstream.accepted.get() for _ in clients]
            for index, (_, writer) in enumerate(clients):
                writer.write(struct.pack("!I", index))
            seen = {struct.unpack("!I", await reader.readexactly(4))[0] for reader, _ in far}
            assert seen == set(range(200))
            for _, writer in [*clients, *far]:
                writer.close()
            await forward.ended(200)
            await until(lambda: rig.counter("active") == 0)

    rig.run(main)
