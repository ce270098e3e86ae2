"""A client that speaks WebSocket to an upstream that does not; the library websockets is the judge.

Sessions begin as those of `test_requests.py`: a line is answered by a line, frames come behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side

from lab.engine import Rig, until
from tidegate.engine.address import pack_address
from tidegate.engine.outcome import Accept, Connect, Framing, Need, Relay

LONG_MS = 30_000
TERMS = {"timeout_ms": LONG_MS, "buffer_size": 65536}


class Node:
    """Speaks plain bytes: keeps what it hears, says what it is told to."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.writer = None
        self.reads = asyncio.Event()
        self.reads.set()
        self.ended = False
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]

    async def serve(self):
        self.server = await asyncio.start_server(self.talk, sock=self.sock, limit=1000)

    async def talk(self, reader, writer):
        self.writer = writer
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readexactly(6)
            writer.write(b"hello\n")
            while True:
                await self.reads.wait()
                data = await reader.read(65536)
                if not data:
                    break
                self.heard += data
        self.ended = True
        writer.close()


class Session:
    def __init__(self, node, framing=None, *, relay=None, **accept):
        self.node = node
        self.framing = framing or Framing()
        self.relay = relay or Relay(**TERMS)
        self.accept = accept
        self.report = None
        self.engine = None
        self.fault = None

    def __call__(self, handle):
        self.handle = handle
        return self

    def preread(self, data, _ended):
        take = data.find(b"\n") + 1
        if not take:
            return Need(len(data) + 1)
        return Connect(
            pack_address(socket.AF_INET, "127.0.0.1", self.node.port),
            relay=self.relay,
            timeout_ms=5000,
            first=b"begin\n",
            take=take,
            answer_size=1000,
            answer_ms=LONG_MS,
        )

    def inspect(self, data, _ended):
        return Accept(data=b"go\n", take=len(data), framing=self.framing, **self.accept)

    def farewell(self, _status):
        return b""

    def end(self, report):
        self.fault = self.engine.fault(self.handle)
        self.report = report


class Client:
    """A client whose side of WebSocket is that of the library."""

    async def connect(self, rig, session, behind=b""):
        session.engine = rig.engine
        port = rig.listen(session, preread_size=60_000, preread_timeout_ms=LONG_MS)
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        self.protocol = Protocol(Side.CLIENT, max_size=None)
        self.writer.write(b"x\n" + behind)
        assert await self.reader.readline() == b"go\n"
        return self

    def flush(self):
        for data in self.protocol.data_to_send():
            self.writer.write(data)

    async def hear(self):
        """Read until something is there; gives all frames."""
        while True:
            data = await self.reader.read(65536)
            if data:
                self.protocol.receive_data(data)
            else:
                self.protocol.receive_eof()
            events = self.protocol.events_received()
            if events or not data:
                return events


def run(session, talk, rig, *, behind=b""):
    async def main():
        await session.node.serve()
        client = await Client().connect(rig, session, behind)
        await talk(client, session.node)
        client.writer.close()
        await until(lambda: session.report)
        session.node.server.close()

    rig.run(main)


def raw(opcode, payload=b"", *, fin=True, mask=b"\1\2\3\4", head=None):
    """A frame as the test wants it, allowed or not."""
    size = len(payload)
    if head is None:
        head = bytes([(0x80 if fin else 0) | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
        else:
            head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def test_messages_pass_both_ways_without_their_frames(rig):
    session = Session(Node())

    async def talk(client, node):
        for size in (0, 1, 125, 126, 65535, 65536, 200_000):
            payload = random.Random(size).randbytes(size)
            del node.heard[:]
            client.protocol.send_binary(payload)
            client.flush()
            await until(lambda: len(node.heard) == size)  # noqa: B023 it is awaited here
            assert node.heard == payload
            node.writer.write(payload)
            heard = b""
            while len(heard) < size:
                for frame in await client.hear():
                    assert frame.opcode is Opcode.BINARY
                    heard += frame.data
            assert heard == payload

    run(session, talk, rig)
    assert session.report.reason == "client_closed"


@pytest.mark.parametrize("cuts", ["bytes", "whole"])
def test_frames_may_be_split_anywhere_and_messages_into_frames(rig, cuts):
    session = Session(Node())
    frames = (
        raw(2, b"abc", fin=False)
        + raw(9, b"there?")
        + raw(0, b"", fin=False)
        + raw(0, b"def" * 100, fin=False)
        + raw(10, b"unasked")
        + raw(0, b"!")
        + raw(2, b"next")
    )

    async def talk(client, node):
        if cuts == "whole":
            client.writer.write(frames)
        else:
            client.writer.get_extra_info("socket").setsockopt(6, socket.TCP_NODELAY, 1)
            for byte in frames:
                client.writer.write(bytes([byte]))
                await asyncio.sleep(0)
        await until(lambda: node.heard.endswith(b"next"))
        assert node.heard == b"abc" + b"def" * 100 + b"!next"
        (pong,) = await client.hear()
        assert (pong.opcode, pong.data) == (Opcode.PONG, b"there?")

    run(session, talk, rig)


def test_what_came_before_the_relay_is_unwrapped_too(rig):
    session = Session(Node())
    behind = raw(2, b"early") + raw(9, b"?") + raw(2, b"half a frame")[:9]

    async def talk(client, node):
        await until(lambda: node.heard == b"earlyhal")
        (pong,) = await client.hear()
        assert pong.data == b"?"
        client.writer.write(raw(2, b"half a frame")[9:])
        await until(lambda: node.heard == b"earlyhalf a frame")

    run(session, talk, rig, behind=behind)


def test_a_relay_may_begin_in_the_middle_of_a_frame(rig):
    mask = b"\x11\x22\x33\x44"
    whole = raw(2, b"0123456789", fin=False, mask=mask)
    session = Session(
        Node(),
        Framing(remaining=7, mask=mask[3:] + mask[:3], final=False),
    )

    async def talk(client, node):
        await until(lambda: node.heard == b"3456")
        client.writer.write(whole[13:] + raw(0, b" and on"))
        await until(lambda: node.heard == b"3456789 and on")

    run(session, talk, rig, behind=whole[9:13])


def test_the_clients_close_is_answered_and_ends_the_node(rig):
    session = Session(Node())

    async def talk(client, node):
        client.protocol.send_binary(b"last words")
        client.protocol.send_close(3001, "bye")
        client.flush()
        await client.hear()
        assert client.protocol.close_rcvd.code == 3001
        await until(lambda: node.ended)
        assert node.heard == b"last words"

    run(session, talk, rig)
    assert session.report.reason == "client_closed"
    assert session.report.error == 0
    assert session.fault is None


@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [("node", 1000, "upstream_closed"), ("killed", 1001, "killed"), ("silence", 1008, "timed_out")],
)
def test_the_client_is_told_why_its_session_ends(rig, how, code, reason):
    relay = Relay(timeout_ms=200 if how == "silence" else LONG_MS, buffer_size=4096)
    session = Session(Node(), relay=relay)

    async def talk(client, node):
        await until(lambda: node.writer)
        if how == "node":
            node.writer.write(b"last words")
            node.writer.close()
            assert (await client.hear())[0].data == b"last words"
        elif how == "killed":
            rig.engine.close_session(session.handle)
        while client.protocol.close_rcvd is None:
            assert await client.hear()
        assert client.protocol.close_rcvd.code == code
        assert await client.reader.read() == b""

    run(session, talk, rig)
    assert session.report.reason == reason


FAULTS = {
    "unmasked": (b"\x82\x01a", 1002, "a frame is not masked"),
    "reserved bit": (raw(2, b"", head=b"\xc2\x80"), 1002, "a reserved bit is set"),
    "unknown opcode": (raw(3, b"a"), 1002, "an opcode is unknown"),
    "unknown control": (raw(11, b"a"), 1002, "an opcode is unknown"),
    "text": (raw(1, b"a"), 1003, "a frame is text"),
    "long ping": (raw(9, b"a" * 126), 1002, "a control frame is too long, or in pieces"),
    "ping in pieces": (raw(9, fin=False), 1002, "a control frame is too long, or in pieces"),
    "nothing to continue": (raw(0, b"a"), 1002, "a message continues that did not begin"),
    "message in a message": (
        raw(2, b"a", fin=False) + raw(2, b"b"),
        1002,
        "a message continues that did not begin, or begins in another",
    ),
    "length in too many bytes": (
        raw(2, head=b"\x82\xfe\x00\x05"),
        1002,
        "a length is not as short as it can be",
    ),
    "length in far too many bytes": (
        raw(2, head=b"\x82\xff" + bytes(6) + b"\xff\xff"),
        1002,
        "a length is not as short as it can be",
    ),
    "huge length": (raw(2, head=b"\x82\xff\x80" + bytes(7)), 1002, "a length is not as short"),
    "cut code": (raw(8, b"a"), 1002, "the code of a close is cut"),
    "code of no close": (raw(8, b"\x03\xed"), 1002, "the code of a close is not allowed"),
    "too long": (raw(2, b"x" * 600, fin=False) + raw(0, b"x" * 401), 1009, "a message is too long"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_told_by_its_code_and_logged(rig, kind):
    frames, code, words = FAULTS[kind]
    session = Session(Node(), Framing(limit=1000))

    async def talk(client, node):
        client.writer.write(raw(2, b"before ") + frames + raw(2, b"behind"))
        await client.hear()
        assert client.protocol.close_rcvd.code == code
        assert await client.reader.read() == b""
        await until(lambda: node.ended)
        assert node.heard.startswith(b"before ")
        assert b"behind" not in node.heard

    run(session, talk, rig)
    assert session.report.reason == "client_error"
    assert words in session.fault[1]


def test_a_client_that_takes_no_pongs_is_not_read(rig):
    session = Session(Node())
    pings = raw(9, b"x" * 125) * 500

    async def talk(client, _node):
        client.writer.transport.pause_reading()
        # What fits into all buffers between us, and no more, is taken.
        sent = 0
        with contextlib.suppress(TimeoutError):
            for _ in range(2000):
                client.writer.write(pings)
                sent += len(pings)
                await asyncio.wait_for(client.writer.drain(), 1)
        assert sent < 2000 * len(pings)
        before = rig.engine.progress(session.handle).bytes_received
        client.writer.transport.resume_reading()
        await until(lambda: rig.engine.progress(session.handle).bytes_received > before)

    run(session, talk, rig)


def test_a_slow_node_and_a_slow_client_get_every_byte(rig):
    session = Session(Node(), relay=Relay(timeout_ms=LONG_MS, buffer_size=65536))
    payload = random.Random(1).randbytes(3_000_000)

    async def talk(client, node):
        node.reads.clear()
        client.protocol.send_binary(payload)
        client.flush()
        await asyncio.sleep(0.05)
        node.reads.set()
        await until(lambda: len(node.heard) == len(payload))
        assert node.heard == payload
        client.writer.transport.pause_reading()
        node.writer.write(payload)
        await asyncio.sleep(0.05)
        client.writer.transport.resume_reading()
        heard = bytearray()
        while len(heard) < len(payload):
            for frame in await client.hear():
                heard += frame.data
        assert heard == payload

    run(session, talk, rig)


# --- against the judge ---


def judge(frames):
    """What the library's server makes of a client's bytes: payload, pongs, close code."""
    protocol = Protocol(Side.SERVER, max_size=None)
    with contextlib.suppress(ProtocolError):
        protocol.receive_data(frames)
    payload = b""
    for found in protocol.events_received():
        if found.opcode in (Opcode.BINARY, Opcode.CONT):
            payload += found.data
    sent = b"".join(protocol.data_to_send())
    answers = Protocol(Side.CLIENT, max_size=None)
    answers.receive_data(sent)
    pongs = [bytes(f.data) for f in answers.events_received() if f.opcode is Opcode.PONG]
    code = answers.close_rcvd and answers.close_rcvd.code
    if "incomplete fragmented message" in str(protocol.parser_exc):
        # The library wants a message to be whole before a close, the RFC does not.
        code = protocol.close_rcvd.code if protocol.close_rcvd else None
    return payload, pongs, code


CLOSES = [b"", b"\x03\xe8", b"\x0f\xa0bye", b"\x03\xed", b"x", b"\0\0", b"\x03\xe8" + b"x" * 124]
MASKS = st.binary(min_size=4, max_size=4)
frame = st.builds(
    lambda opcode, payload, fin, mask: raw(opcode, payload, fin=fin, mask=mask),
    st.sampled_from([2, 2, 2, 0, 0, 9, 9, 10]),
    st.binary(max_size=200),
    st.booleans(),
    MASKS,
) | st.builds(lambda payload, mask: raw(8, payload, mask=mask), st.sampled_from(CLOSES), MASKS)


@settings(max_examples=60, deadline=None)
@given(frames=st.lists(frame, max_size=12).map(b"".join), cut=st.integers(0, 2000))
def test_any_frames_are_taken_as_the_library_takes_them(frames, cut):
    payload, pongs, code = judge(frames)
    rig = Rig(100)
    session = Session(Node())

    async def talk(client, node):
        client.writer.write(frames[:cut])
        await asyncio.sleep(0)
        client.writer.write(frames[cut:])
        if code is None:
            await until(lambda: bytes(node.heard) == payload)
        else:
            await until(lambda: node.ended)
        found = []
        while (code is None and len(found) < len(pongs)) or (
            code is not None and client.protocol.close_rcvd is None
        ):
            found += [f.data for f in await client.hear() if f.opcode is Opcode.PONG]
        assert bytes(node.heard) == payload
        assert found == pongs
        if code is not None:
            assert client.protocol.close_rcvd.code == code

    try:
        run(session, talk, rig)
    finally:
        rig.close()
    assert rig.troubles == []


def test_the_judge_judges():
    """So that the test before cannot pass for nothing."""
    close = Frame(Opcode.CLOSE, Close(1000, "").serialize())
    assert judge(raw(2, b"a") + raw(9, b"b") + raw(8, close.data)) == (b"a", [b"b"], 1000)
    assert judge(raw(0, b"a"))[2] == 1002
