"""The accept phase: what is decided before anything of the client is read but its PROXY header."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import struct
from pathlib import Path

import pytest

from lab import proxy_headers as headers
from lab.certificates import Authority
from lab.engine import RELAY, until
from tidegate.engine.address import pack_address, unpack_address
from tidegate.engine.outcome import LATER, Connect, Need, Refuse
from tidegate.engine.tls_context import Context
from tidegate.wire.proxy_protocol import HeaderError, parse

TIMEOUT_MS = 10_000


class Accepting:
    """Sessions that keep what `accept` saw, and go to `port`."""

    def __init__(self, rig, port, *, accept=None, preread=None):
        self.rig = rig
        self.port = port
        self.answer = accept or (lambda _session: None)
        self.first = preread
        self.seen = []
        self.reports = []
        self.handles = []

    def __call__(self, handle):
        self.handles.append(handle)
        return AcceptingSession(self, handle)

    async def ended(self, count=1):
        await until(lambda: len(self.reports) >= count)
        return self.reports


class AcceptingSession:
    def __init__(self, owner, handle):
        self.owner = owner
        self.handle = handle

    def accept(self, header, error):
        self.owner.seen.append((header, error))
        return self.owner.answer(self)

    def preread(self, data, ended):
        return self.owner.first(self, data, ended)

    def pick(self):
        address = pack_address(socket.AF_INET, "127.0.0.1", self.owner.port)
        return Connect(address, relay=RELAY, timeout_ms=5000)

    def farewell(self, _status):
        return b""

    def end(self, report):
        self.owner.reports.append(report)


class Echo:
    """A node that sends back what it hears, and keeps it."""

    async def __aenter__(self):
        self.heard = []
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def serve(self, reader, writer):
        index = len(self.heard)
        self.heard.append(b"")
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self.heard[index] += data
                writer.write(data)
        writer.close()


def called(rig):
    return {kind: count for kind, count in rig.engine.calls.items() if count}


def refuse(status):
    return lambda _session: Refuse(status)


async def arrive(rig, sessions, *pieces, **options):
    """A client that sends pieces, each seen before the next is sent; gives its streams."""
    options.setdefault("header_timeout_ms", TIMEOUT_MS)
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.listen(sessions, **options))
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    return reader, writer


async def all_of(reader):
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


@pytest.mark.parametrize("header", headers.VALID.values(), ids=headers.VALID.keys())
@pytest.mark.parametrize("preread_size", [0, 100])
def test_a_header_is_taken_and_not_a_byte_behind_it(rig, header, preread_size):
    first = b"\x10\x0e\0\4MQTT\4\2\0\0\0\2ab"

    async def main():
        async with Echo() as node:
            sessions = Accepting(rig, node.port, preread=lambda one, *_: one.pick())
            options = {"preread_size": preread_size, "preread_timeout_ms": 10_000}
            reader, writer = await arrive(rig, sessions, header + first, **options)
            assert await reader.readexactly(len(first)) == first
            writer.close()
            (report,) = await sessions.ended()
            assert node.heard == [first]
            assert sessions.seen == [(header, 0)]
            assert report.bytes_received == report.bytes_sent == len(first)
            assert report.status == 200

    rig.run(main)
    kind = "preread" if preread_size else "pick"
    assert called(rig) == {"accept": 1, kind: 1, "end": 1}


@pytest.mark.parametrize("header", [headers.V1, headers.V2_TLVS], ids=["v1", "v2"])
def test_a_header_may_come_in_any_two_pieces(rig, header):
    async def main():
        async with Echo() as node:
            sessions = Accepting(rig, node.port)
            entrance = rig.listen(sessions, header_timeout_ms=TIMEOUT_MS)
            whole = header + b"first"
            for at in range(1, len(whole)):
                reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
                writer.write(whole[:at])
                await taken(writer)
                writer.write(whole[at:])
                assert await reader.readexactly(5) == b"first", at
                writer.close()
            await sessions.ended(len(whole) - 1)
            assert set(sessions.seen) == {(header, 0)}
            assert set(node.heard) == {b"first"}

    rig.run(main)


async def taken(writer):
    """Wait until the other side has read what was sent, or it is clear that it will not yet."""
    await asyncio.sleep(0.003)
    assert writer.transport.get_write_buffer_size() == 0


def test_a_header_may_come_byte_by_byte(rig):
    async def main():
        async with Echo() as node:
            sessions = Accepting(rig, node.port)
            for header in (headers.V1, headers.V2):
                whole = [bytes([byte]) for byte in header + b"x"]
                reader, writer = await arrive(rig, sessions, *whole)
                assert await reader.readexactly(1) == b"x"
                writer.close()
            await sessions.ended(2)
            assert sessions.seen == [(headers.V1, 0), (headers.V2, 0)]

    rig.run(main)


def test_without_a_header_to_read_a_session_is_asked_at_once(rig):
    async def main():
        async with Echo() as node:
            sessions = Accepting(rig, node.port)
            reader, writer = await arrive(rig, sessions, header_timeout_ms=0, asks_accept=True)
            await until(lambda: node.heard)
            assert sessions.seen == [(b"", 0)]
            writer.write(headers.V1)
            assert await reader.readexactly(len(headers.V1)) == headers.V1
            writer.close()
            await sessions.ended()

    rig.run(main)
    assert called(rig) == {"accept": 1, "pick": 1, "end": 1}


@pytest.mark.parametrize("preread_size", [0, 100])
def test_a_refusal_closes_before_anything_is_read(rig, preread_size):
    async def main():
        sessions = Accepting(rig, 0, accept=refuse(403))
        reader, writer = await arrive(
            rig,
            sessions,
            b"hello",
            header_timeout_ms=0,
            asks_accept=True,
            preread_size=preread_size,
        )
        assert await all_of(reader) == b""
        writer.close()
        (report,) = await sessions.ended()
        assert (report.status, report.bytes_received) == (403, 0)
        await until(lambda: rig.engine.active == 0)

    rig.run(main)
    assert called(rig) == {"accept": 1, "end": 1}


def said(data):
    with pytest.raises(HeaderError) as caught:
        parse(data)
    return str(caught.value)[:90]


@pytest.mark.parametrize(
    "data",
    [*headers.BROKEN.values(), *headers.BROKEN_2.values(), (headers.ENDLESS, "")],
    ids=[*headers.BROKEN, *headers.BROKEN_2, "endless"],
)
def test_python_sees_the_beginning_of_what_is_no_header(rig, data):
    data = data[0]

    async def main():
        sessions = Accepting(rig, 0, accept=refuse(400))
        reader, writer = await arrive(rig, sessions, data)
        await sessions.ended()
        assert await all_of(reader) == b""
        writer.close()
        ((seen, error),) = sessions.seen
        assert error == 0
        assert data.startswith(seen)
        assert said(seen) == said(data)
        assert (sessions.reports[0].status, sessions.reports[0].bytes_received) == (400, 0)

    rig.run(main)


@pytest.mark.parametrize("sent", [b"", headers.V1[:20], headers.V2[:14]], ids=["0", "20", "14"])
def test_a_client_that_ends_in_its_header_is_told_of(rig, sent):
    async def main():
        sessions = Accepting(rig, 0, accept=refuse(400))
        _reader, writer = await arrive(rig, sessions, sent)
        writer.write_eof()
        await sessions.ended()
        writer.close()
        assert sessions.seen == [(sent, 0)]

    rig.run(main)


@pytest.mark.parametrize("sent", [b"", headers.V1[:20]], ids=["0", "20"])
def test_silence_in_a_header_has_its_time(rig, sent):
    async def main():
        sessions = Accepting(rig, 0, accept=refuse(200))
        reader, writer = await arrive(rig, sessions, sent, header_timeout_ms=300)
        assert await all_of(reader) == b""
        writer.close()
        (report,) = await sessions.ended()
        assert sessions.seen == [(sent, errno.ETIMEDOUT)]
        assert report.session_ms >= 290

    rig.run(main)


def test_the_time_is_that_of_the_whole_header(rig):
    async def main():
        sessions = Accepting(rig, 0, accept=refuse(200))
        _reader, writer = await arrive(rig, sessions, header_timeout_ms=500)
        sent = 0
        while not sessions.reports:
            writer.write(headers.WIDEST[sent : sent + 1])
            sent += 1
            await asyncio.sleep(0.05)
        writer.close()
        assert sent < len(headers.WIDEST) / 2
        assert sessions.seen[0][1] == errno.ETIMEDOUT

    rig.run(main)


def test_a_reset_in_a_header_is_told_with_its_errno(rig):
    async def main():
        sessions = Accepting(rig, 0, accept=refuse(200))
        entrance = rig.listen(sessions, header_timeout_ms=TIMEOUT_MS)
        with socket.create_connection(("127.0.0.1", entrance)) as client:
            client.sendall(b"PROXY ")
            await until(lambda: rig.engine.active == 1)
            await asyncio.sleep(0.02)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await sessions.ended()
        assert sessions.seen == [(b"PROXY ", errno.ECONNRESET)]

    rig.run(main)


def test_the_time_of_a_header_does_not_run_on_after_it(rig):
    async def main():
        async with Echo() as node:
            sessions = Accepting(rig, node.port)
            reader, writer = await arrive(rig, sessions, headers.V1, header_timeout_ms=200)
            await until(lambda: node.heard)
            await asyncio.sleep(0.5)
            writer.write(b"late")
            assert await reader.readexactly(4) == b"late"
            writer.close()
            await sessions.ended()

    rig.run(main)


def test_an_answer_may_come_later(rig):
    async def main():
        async with Echo() as node:
            sessions = Accepting(rig, node.port, accept=lambda _session: LATER)
            reader, writer = await arrive(rig, sessions, headers.V2 + b"x")
            await until(lambda: sessions.seen)
            (handle,) = sessions.handles
            assert rig.engine.resume(handle, None)
            assert not rig.engine.resume(handle, None)
            assert await reader.readexactly(1) == b"x"
            writer.close()
            await sessions.ended()

    rig.run(main)


def test_an_answer_that_never_comes_ends_with_the_time_of_the_header(rig):
    async def main():
        sessions = Accepting(rig, 0, accept=lambda _session: LATER)
        reader, writer = await arrive(rig, sessions, headers.V1, header_timeout_ms=300)
        assert await all_of(reader) == b""
        writer.close()
        (report,) = await sessions.ended()
        assert report.reason == "timed_out"

    rig.run(main)


def test_a_fault_in_the_accept_phase_ends_that_session_alone(rig):
    async def main():
        async with Echo() as node:
            sessions = Accepting(rig, node.port, accept=lambda _one: 1 // (len(sessions.seen) - 1))
            entrance = rig.listen(sessions, header_timeout_ms=TIMEOUT_MS)
            for _ in range(2):
                _reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
                writer.write(headers.V1)
                await until(lambda: sessions.reports)
                writer.close()
            await sessions.ended(2)
            assert sessions.reports[0].status == 500

    rig.run(main)
    assert [type(error) for error in rig.troubles] == [ZeroDivisionError, TypeError]
    rig.troubles.clear()


def test_what_is_no_outcome_there_is_a_fault_elsewhere(rig):
    """None is for the accept phase alone; Need for the preread."""

    async def main():
        sessions = Accepting(rig, 0, accept=lambda _session: Need(10))
        reader, writer = await arrive(rig, sessions, headers.V1)
        assert await all_of(reader) == b""
        writer.close()
        (report,) = await sessions.ended()
        assert report.status == 500
        sessions = Accepting(rig, 0, preread=lambda *_: None)
        options = {"preread_size": 10, "preread_timeout_ms": 1000}
        reader, writer = await arrive(rig, sessions, headers.V1 + b"x", **options)
        assert await all_of(reader) == b""
        writer.close()
        (report,) = await sessions.ended()
        assert report.status == 500

    rig.run(main)
    assert [type(error) for error in rig.troubles] == [ValueError, TypeError]
    rig.troubles.clear()


def test_another_address_may_stand_for_the_clients(rig):
    def rename(session):
        address = pack_address(socket.AF_INET6, "2001:db8::7", 4242)
        rig.engine.set_client_address(session.handle, address)

    async def main():
        async with Echo() as node:
            sessions = Accepting(rig, node.port, accept=rename)
            _reader, writer = await arrive(rig, sessions, headers.V1)
            await until(lambda: node.heard)
            told = rig.engine.client_address(sessions.handles[0])
            assert unpack_address(told) == (socket.AF_INET6, "2001:db8::7", 4242)
            for wrong in (b"", b"x", bytes(29)):
                with pytest.raises(ValueError, match="no packed address"):
                    rig.engine.set_client_address(sessions.handles[0], wrong)
            writer.close()
            await sessions.ended()
        with pytest.raises(KeyError):
            rig.engine.set_client_address(sessions.handles[0], told)

    rig.run(main)


def test_who_is_in_the_accept_phase_may_go_on_when_listening_stops(rig):
    async def main():
        async with Echo() as node:
            sessions = Accepting(rig, node.port)
            reader, writer = await arrive(rig, sessions, headers.V1[:10])
            await until(lambda: rig.engine.active == 1)
            rig.engine.unlisten(1)
            writer.write(headers.V1[10:] + b"x")
            assert await reader.readexactly(1) == b"x"
            writer.close()
            await sessions.ended()

    rig.run(main)


def test_sessions_in_the_accept_phase_end_with_the_others(rig):
    async def main():
        later = Accepting(rig, 0, accept=lambda _session: LATER)
        writers = [(await arrive(rig, later, sent))[1] for sent in (headers.V1, headers.V1[:10])]
        await until(lambda: later.seen and rig.engine.active == 2)
        rig.engine.unlisten(1)
        rig.engine.unlisten(2)
        rig.engine.close_sessions()
        assert [report.reason for report in later.reports] == ["killed"]
        for writer in writers:
            writer.close()
        await until(lambda: rig.engine.active == 0)

    rig.run(main)


def of_a_server(folder):
    """TLS with a certificate."""
    certificate, key = Authority(str(folder)).sign("server")
    context = Context()
    context.add_certificate(certificate, Path(certificate).read_bytes())
    context.add_key(key, Path(key).read_bytes())
    return context


@pytest.mark.parametrize("header", [headers.V1, headers.V2_TLVS], ids=["v1", "v2"])
@pytest.mark.parametrize("preread_size", [0, 100])
def test_tls_begins_behind_the_header(rig, tmp_path, header, preread_size):
    """In one packet with the first flight of its handshake, and byte by byte."""
    context = of_a_server(tmp_path)

    async def main():
        async with Echo() as node:
            sessions = Accepting(rig, node.port, preread=lambda one, *_: one.pick())
            entrance = rig.listen(
                sessions,
                header_timeout_ms=TIMEOUT_MS,
                tls=context,
                preread_size=preread_size,
                preread_timeout_ms=10_000,
            )
            for size in (100_000, 1):
                assert await over_tls(entrance, header, b"hello", size) == b"hello"
            await sessions.ended(2)
            assert sessions.seen == [(header, 0)] * 2
            assert node.heard == [b"hello"] * 2

    rig.run(main)


async def over_tls(port, header, message, size):
    """Send a header and then a message over TLS, in pieces of `size` bytes; the answer."""
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours.check_hostname = False
    ours.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = ours.wrap_bio(incoming, outgoing)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    waiting = header

    async def exchange(step):
        nonlocal waiting
        while True:
            result = None
            with contextlib.suppress(ssl.SSLWantReadError):
                result = step()
            waiting += outgoing.read()
            for at in range(0, len(waiting), size):
                writer.write(waiting[at : at + size])
                await asyncio.sleep(0)
            waiting = b""
            if result is not None:
                return result
            incoming.write(await reader.read(65536))

    await exchange(lambda: session.do_handshake() or True)
    await exchange(lambda: session.write(message))
    answer = await exchange(lambda: session.read(100))
    writer.close()
    return answer


def test_a_refusal_comes_before_tls(rig, tmp_path):
    context = of_a_server(tmp_path)

    async def main():
        sessions = Accepting(rig, 0, accept=refuse(403))
        options = {"header_timeout_ms": 0, "asks_accept": True, "tls": context}
        reader, writer = await arrive(rig, sessions, **options)
        assert await all_of(reader) == b""
        writer.close()
        (report,) = await sessions.ended()
        assert (report.status, report.bytes_sent) == (403, 0)

    rig.run(main)
    assert called(rig) == {"accept": 1, "end": 1}
