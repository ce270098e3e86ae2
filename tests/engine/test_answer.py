"""A node's first words are shown to Python before the client hears them, and may be refused."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time

import pytest

from lab.engine import RELAY, until
from tidegate.engine.address import pack_address
from tidegate.engine.outcome import Accept, Connect, Need, Refuse, Relay

HELLO = 5  # bytes of the client's first packet
LONG_MS = 30_000


class Node:
    """A node that says its words on connect, and keeps what it hears."""

    def __init__(self, words: bytes = b"", *, closes: bool = False) -> None:
        self.words = words
        self.closes = closes
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.heard = bytearray()

    async def serve(self):
        async def talk(reader, writer):
            self.heard += await reader.readexactly(HELLO)
            writer.write(self.words)
            if not self.closes:
                while data := await reader.read(1000):
                    self.heard += data
            writer.close()

        self.server = await asyncio.start_server(talk, sock=self.sock)


class Session:
    """Goes to nodes in turn until one says "yes" first."""

    def __init__(self, *nodes, answer_ms=LONG_MS, idle_ms=0, relay=RELAY, accept=None):
        self.nodes = list(nodes)
        self.answer_ms = answer_ms
        self.idle_ms = idle_ms
        self.relay = relay
        self.accept = accept or Accept()
        self.seen = []
        self.errors = []
        self.report = None

    def __call__(self, handle):
        self.handle = handle
        return self

    def preread(self, data, _ended):
        return self.next() if len(data) >= HELLO else Need(HELLO)

    def next(self):
        if not self.nodes:
            return Refuse(502, b"none")
        return Connect(
            pack_address(socket.AF_INET, "127.0.0.1", self.nodes.pop(0).port),
            relay=self.relay,
            timeout_ms=5000,
            first=b"HELLO",
            take=HELLO,
            answer_size=100,
            answer_ms=self.answer_ms,
            idle_ms=self.idle_ms,
        )

    def inspect(self, data, ended):
        self.seen.append((data, ended))
        if len(data) < 3 and not ended:
            return Need(3)
        return self.accept if data.startswith(b"yes") else self.next()

    def answer(self, error, _ms):
        self.errors.append(error)
        return self.next()

    def end(self, report):
        self.report = report


def visit(rig, session, *nodes, words=b"hello and more", hears):
    """Send words, and more once an answer is there; gives what the client heard."""

    async def main():
        for node in nodes:
            await node.serve()
        entrance = rig.listen(session, preread_size=1000, preread_timeout_ms=LONG_MS)
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        writer.write(words)
        heard = await reader.readexactly(len(hears))
        writer.write(b"!")
        if nodes and nodes[-1].words.startswith(b"yes"):
            await until(lambda: nodes[-1].heard.endswith(b"!"))
        writer.close()
        await until(lambda: session.report)
        for node in nodes:
            node.server.close()
        assert heard == hears

    rig.run(main)


def test_what_the_client_pipelined_goes_once_to_the_node_that_accepted(rig):
    refusing, closing, good = Node(b"no!"), Node(closes=True), Node(b"yes, welcome")
    session = Session(refusing, closing, good)
    visit(rig, session, refusing, closing, good, hears=b"yes, welcome")
    assert bytes(refusing.heard) == bytes(closing.heard) == b"HELLO"
    assert bytes(good.heard) == b"HELLO and more!"
    assert session.seen[0] == (b"no!", False)
    assert session.seen[1] == (b"", True)
    assert session.report.upstream_bytes_sent == len(b"HELLO and more!")
    assert session.report.bytes_sent == len(b"yes, welcome")


def test_a_silent_node_is_left_for_the_next(rig):
    silent, good = Node(), Node(b"yes")
    session = Session(silent, good, answer_ms=100)
    visit(rig, session, silent, good, hears=b"yes")
    assert session.errors == [errno.ETIME]
    assert bytes(good.heard) == b"HELLO and more!"


def test_an_answer_in_pieces_is_asked_for_until_it_is_enough(rig):
    class Slow(Node):
        async def serve(self):
            async def talk(reader, writer):
                self.heard += await reader.readexactly(HELLO)
                for byte in b"yes":
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.02)
                while data := await reader.read(1000):
                    self.heard += data
                writer.close()

            self.server = await asyncio.start_server(talk, sock=self.sock)

    good = Slow(b"yes")
    session = Session(good)
    visit(rig, session, good, hears=b"yes")
    assert session.seen == [(b"y", False), (b"yes", False)]


def test_an_answer_may_be_replaced(rig):
    good = Node(b"yes, but more")
    session = Session(good, accept=Accept(data=b"YES!", take=3))
    visit(rig, session, good, hears=b"YES!, but more")


def test_when_nobody_accepts_the_client_is_told(rig):
    refusing = Node(b"no!")
    session = Session(refusing)
    visit(rig, session, refusing, hears=b"none")
    assert session.report.status == 502


def test_a_node_that_answers_and_closes_is_heard_out(rig):
    good = Node(b"yes and goodbye", closes=True)
    session = Session(good)

    async def main():
        await good.serve()
        entrance = rig.listen(session, preread_size=1000, preread_timeout_ms=LONG_MS)
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        writer.write(b"hello")
        assert await reader.read() == b"yes and goodbye"
        writer.close()
        good.server.close()

    rig.run(main)


@pytest.mark.parametrize("silent_side", ["client", "node"])
def test_an_idle_limit_is_for_the_clients_silence_alone(rig, silent_side):
    """The limit is 300 ms; one side talks every 20 ms for well over a second."""
    node = Node(b"yes")
    session = Session(node, idle_ms=300, relay=Relay(timeout_ms=100, buffer_size=4096))

    async def main():
        async def talk(reader, writer):
            await reader.readexactly(HELLO)
            writer.write(b"yes")
            while silent_side == "client" and session.report is None:
                writer.write(b"publish")
                await asyncio.sleep(0.02)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(talk, sock=node.sock)
        entrance = rig.listen(session, preread_size=1000, preread_timeout_ms=LONG_MS)
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        writer.write(b"hello")
        await reader.readexactly(3)
        before = time.monotonic()
        if silent_side == "client":
            while await reader.read(1000):
                pass
            assert 0.29 <= time.monotonic() - before < 2.5
            assert session.report.reason == "timed_out"
        else:
            while time.monotonic() - before < 1.5:
                writer.write(b"ping")
                await asyncio.sleep(0.02)
            assert session.report is None
        writer.close()
        await until(lambda: session.report)
        server.close()

    rig.run(main)


def test_a_client_that_we_hold_back_is_not_silent(rig):
    """The node reads nothing, so the client is not read: not its fault, the relay's limit rules."""
    node = Node()
    session = Session(node, idle_ms=200, relay=Relay(timeout_ms=1500, buffer_size=65536))

    async def main():
        stuck = asyncio.Event()

        async def talk(reader, writer):
            await reader.readexactly(HELLO)
            writer.write(b"yes")
            writer.transport.pause_reading()
            await stuck.wait()
            writer.close()

        server = await asyncio.start_server(talk, sock=node.sock, limit=1000)
        entrance = rig.listen(session, preread_size=1000, preread_timeout_ms=LONG_MS)
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        writer.write(b"hello")
        await reader.readexactly(3)
        writer.write(b"x" * 20_000_000)
        before = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        assert time.monotonic() - before > 1.4
        writer.transport.abort()
        stuck.set()
        server.close()

    rig.run(main)
