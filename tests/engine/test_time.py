"""Deadlines: asyncio's own, and those of sessions. Margins are five times or more."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time

import pytest

from lab.engine import Forward, until
from tidegate.engine.outcome import Relay


async def sink():
    """A server that reads everything and says nothing."""

    async def read(reader, writer):
        while await reader.read(65536):
            pass
        writer.close()

    server = await asyncio.start_server(read, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


class Talker(threading.Thread):
    """Sends through the engine from outside its thread, as a device would."""

    def __init__(self, port: int, pause: float) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.pause = pause
        self.stop = threading.Event()
        self.sent = 0

    def run(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            while not self.stop.is_set():
                sock.sendall(b"m" * 64)
                self.sent += 1
                if self.pause:
                    self.stop.wait(self.pause)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.join()


@pytest.mark.parametrize("pause", [0.02, 0.0], ids=["trickle", "full load"])
def test_a_timer_of_asyncio_is_on_time_under(rig, pause):
    async def main():
        server, port = await sink()
        forward = Forward(rig, port)
        entrance = rig.listen(forward)
        with Talker(entrance, pause) as talker:
            await until(lambda: talker.sent > 5)
            before, sent = time.monotonic(), talker.sent
            await asyncio.sleep(0.2)
            took = time.monotonic() - before
            assert talker.sent > sent
        assert 0.199 <= took < 1.0
        await forward.ended()
        server.close()

    rig.run(main)


def test_an_idle_session_ends_after_its_timeout_and_a_talking_one_does_not(rig):
    async def main():
        server, port = await sink()
        forward = Forward(rig, port, relay=Relay(timeout_ms=300, buffer_size=4096))
        entrance = rig.listen(forward)
        with Talker(entrance, 0.01) as talker:
            await until(lambda: talker.sent > 2)
            reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
            before = time.monotonic()
            assert await reader.read() == b""
            took = time.monotonic() - before
            assert 0.29 <= took < 1.5
            assert [report.reason for report in forward.reports] == ["timed_out"]
            await asyncio.sleep(0.4)
            assert len(forward.reports) == 1
            writer.close()
        await forward.ended(2)
        server.close()

    rig.run(main)


def test_a_node_that_does_not_answer_the_connect_times_out(rig):
    async def main():
        # A queue of one that is full: the kernel drops further SYNs.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            address = full.getsockname()
            fillers = [socket.socket() for _ in range(3)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            forward = Forward(rig, address[1], timeout_ms=200)
            before = time.monotonic()
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.listen(forward))
            assert await reader.read() == b""
            assert forward.errors == [errno.ETIMEDOUT]
            assert 0.19 <= time.monotonic() - before < 1.2
            writer.close()
            for filler in fillers:
                filler.close()

    rig.run(main)


@pytest.mark.parametrize("direction", ["upload_rate", "download_rate"])
def test_a_rate_slows_its_direction_alone(rig, direction):
    """100 KB at 100 KB/s after the first second's allowance, nginx's rule: about a second."""

    async def main():
        server = await asyncio.start_server(pour, "127.0.0.1", 0)
        relay = Relay(timeout_ms=60_000, buffer_size=4096, **{direction: 100_000})
        forward = Forward(rig, server.sockets[0].getsockname()[1], relay=relay)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.listen(forward))
        before = time.monotonic()
        took = {}

        async def up():
            writer.write(b"u" * 100_000)
            await until(lambda: poured.get("up") == 100_000)
            took["upload_rate"] = time.monotonic() - before

        async def down():
            await reader.readexactly(100_000)
            took["download_rate"] = time.monotonic() - before

        await asyncio.gather(up(), down())
        other = ({"upload_rate", "download_rate"} - {direction}).pop()
        assert 0.7 < took[direction] < 5
        assert took[other] < took[direction] / 2
        writer.close()
        await forward.ended()
        server.close()

    poured = {}

    async def pour(reader, writer):
        writer.write(b"d" * 100_000)
        got = 0
        while data := await reader.read(65536):
            got += len(data)
            poured["up"] = got
        writer.close()

    rig.run(main)
