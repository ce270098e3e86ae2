"""TLS in the engine: every close, every split, nothing lost, nothing held longer than it has to."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import random
import socket
import ssl

import pytest

from lab.engine import Forward, ForwardSession, until
from lab.tls import V12, V13, client_context
from tidegate.engine.outcome import Refuse, Relay
from tidegate.engine.tls_context import Context
from tidegate.engine.tls_pem import Certificate, Key, TlsError, not_after
from tidegate.engine.tls_resume import TicketKeys
from tidegate.scoreboard.cache import Cache

pytestmark = pytest.mark.needs("openssl")


@pytest.fixture
def secure(server_pair):
    """A server's context, as a listener needs one."""

    def make(*, verify="off", trusted=None, timeout_ms=10_000, **options):
        context = Context(timeout_ms=timeout_ms, **options)
        certificate, key = server_pair
        with open(certificate, "rb") as file:
            context.add_certificate(certificate, file.read())
        with open(key, "rb") as file:
            context.add_key(key, file.read())
        if verify != "off":
            context.set_verify(verify, 1)
            with open(trusted.certificate, "rb") as file:
                context.add_trusted(trusted.certificate, file.read(), tell=True)
        context.set_sessions(b"test", timeout=300)
        keys = TicketKeys()
        keys.set([os.urandom(80)])
        context.set_tickets(keys)
        return context

    return make


async def echo(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


SERVERS: list[asyncio.Server] = []


async def node(serve=echo) -> int:
    """Serve as an upstream until the test's end; gives the port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    SERVERS.append(server)
    return server.sockets[0].getsockname()[1]


def play(rig, main):
    async def whole():
        try:
            await main()
        finally:
            while SERVERS:
                SERVERS.pop().close()

    rig.run(whole)


class Tls:
    """A client whose records are ours to send when and how we like."""

    def __init__(self, context, port):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self.incoming, self.outgoing, server_hostname="127.0.0.1")
        self.port = port

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def flush(self, piece=1 << 20):
        data = self.outgoing.read()
        for at in range(0, len(data), piece):
            self.writer.write(data[at : at + piece])
            await self.writer.drain()
            if piece < len(data):
                await asyncio.sleep(0)

    async def do(self, call, *, piece=1 << 20):
        """Call until OpenSSL has what it wants; `piece` bytes at most go out at once."""
        while True:
            try:
                result = call()
            except ssl.SSLWantReadError:
                await self.flush(piece)
                data = await self.reader.read(65_536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            else:
                await self.flush(piece)
                return result

    async def read(self, size, *, piece=1 << 20):
        data = b""
        while len(data) < size and (
            more := await self.do(lambda: self.ssl.read(65_536), piece=piece)
        ):
            data += more
        return data

    def close(self):
        self.writer.close()


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_records_may_be_split_anywhere(rig, secure, authority, version, piece):
    async def main():
        forward = Forward(rig, await node())
        port = rig.listen(forward, tls=secure())
        client = await Tls(client_context(authority, version=version), port).open()
        await client.do(client.ssl.do_handshake, piece=piece)
        data = os.urandom(3000)
        client.ssl.write(data)
        await client.flush(piece)
        assert await client.read(len(data)) == data
        client.close()
        (report,) = await forward.ended()
        assert report.bytes_received == report.bytes_sent == len(data)

    play(rig, main)


def test_many_records_in_one_packet_all_come_through(rig, secure, authority):
    async def main():
        forward = Forward(rig, await node(), relay=Relay(timeout_ms=60_000, buffer_size=64))
        client = await Tls(client_context(authority), rig.listen(forward, tls=secure())).open()
        await client.do(client.ssl.do_handshake)
        data = os.urandom(20_000)
        for at in range(0, len(data), 100):
            client.ssl.write(data[at : at + 100])
        await client.flush()  # nothing more is sent, so nothing wakes the engine again
        assert await client.read(len(data)) == data
        client.close()
        await forward.ended()

    play(rig, main)


def test_what_comes_with_the_end_of_the_handshake_is_not_forgotten(rig, secure, authority):
    async def main():
        forward = Forward(rig, await node())
        port = rig.listen(forward, tls=secure())
        client = await Tls(client_context(authority, version=V13), port).open()
        with contextlib.suppress(ssl.SSLWantReadError):
            client.ssl.do_handshake()
        await client.flush()
        while True:
            client.incoming.write(await client.reader.read(65_536))
            with contextlib.suppress(ssl.SSLWantReadError):
                client.ssl.do_handshake()
                break
        client.ssl.write(b"at once")  # goes with our Finished in one packet
        await client.flush()
        assert await client.read(7) == b"at once"
        client.close()
        await forward.ended()

    play(rig, main)


def test_a_slow_reader_loses_nothing_and_holds_its_sender_back(rig, secure, authority):
    size = 8 << 20
    sent = 0

    async def pour(_reader, writer):
        nonlocal sent
        piece = b"x" * 65_536
        while sent < size:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
        writer.close()

    async def main():
        forward = Forward(rig, await node(pour))
        port = rig.listen(forward, tls=secure())
        client = await Tls(client_context(authority), port).open()
        await client.do(client.ssl.do_handshake)
        client.writer.transport.pause_reading()
        before = -1
        while before != sent:  # it comes to a stop far before the end
            before = sent
            await asyncio.sleep(0.3)
        assert sent < size
        client.writer.transport.resume_reading()
        assert len(await client.read(size)) == size
        assert await client.do(lambda: client.ssl.read(1)) == b""
        (report,) = await forward.ended()
        assert (report.reason, report.bytes_sent) == ("upstream_closed", size)
        client.close()

    play(rig, main)


@pytest.mark.parametrize("polite", [True, False], ids=["close_notify", "without"])
def test_an_end_comes_after_everything_before_it(rig, secure, authority, polite):
    received = bytearray()

    async def keep(reader, writer):
        while data := await reader.read(65_536):
            received.extend(data)
        writer.close()

    async def main():
        forward = Forward(rig, await node(keep))
        client = await Tls(client_context(authority), rig.listen(forward, tls=secure())).open()
        await client.do(client.ssl.do_handshake)
        data = os.urandom(200_000)
        client.ssl.write(data)
        if polite:
            with contextlib.suppress(ssl.SSLWantReadError):
                client.ssl.unwrap()
        await client.flush()
        client.writer.write_eof()
        (report,) = await forward.ended()
        assert received == data
        assert (report.reason, report.status) == ("client_closed", 200)
        client.close()

    play(rig, main)


def test_a_close_notify_alone_ends_the_session(rig, secure, authority):
    async def main():
        forward = Forward(rig, await node())
        client = await Tls(client_context(authority), rig.listen(forward, tls=secure())).open()
        await client.do(client.ssl.do_handshake)
        client.ssl.write(b"last words")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.ssl.unwrap()
        await client.flush()  # the words and the end in one packet; the socket stays open
        (report,) = await forward.ended()
        assert (report.reason, report.bytes_received) == ("client_closed", 10)
        client.close()

    play(rig, main)


def test_the_upstreams_end_is_told_by_close_notify_behind_the_data(rig, secure, authority):
    async def say(_reader, writer):
        writer.write(b"y" * 100_000)
        writer.close()

    async def main():
        forward = Forward(rig, await node(say))
        client = await Tls(client_context(authority), rig.listen(forward, tls=secure())).open()
        await client.do(client.ssl.do_handshake)
        assert len(await client.read(100_000)) == 100_000
        # An end without close_notify would raise.
        assert await client.do(lambda: client.ssl.read(1)) == b""
        client.close()
        await until(lambda: rig.engine.active == 0)
        assert forward.reports[0].reason == "upstream_closed"

    play(rig, main)


def test_a_half_close_leaves_the_other_direction_open(rig, secure, authority):
    relay = Relay(timeout_ms=60_000, buffer_size=16_384, half_close=True)

    async def answer_at_the_end(reader, writer):
        data = await reader.read()
        writer.write(data[::-1])
        writer.close()

    async def main():
        forward = Forward(rig, await node(answer_at_the_end), relay=relay)
        client = await Tls(client_context(authority), rig.listen(forward, tls=secure())).open()
        await client.do(client.ssl.do_handshake)
        client.ssl.write(b"abc")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.ssl.unwrap()
        await client.flush()
        # Python's half reads no more after its own close_notify; the bytes count.
        (report,) = await forward.ended()
        assert report.bytes_sent == 3
        client.close()

    play(rig, main)


class Kept(Forward):
    """A session that reads what TLS says of its client when it ends."""

    def __init__(self, rig, *ports, **options):
        super().__init__(rig, *ports, **options)
        self.faults = []

    def __call__(self, handle):
        session = super().__call__(handle)
        end = session.end

        def ended(report):
            self.faults.append(self.rig.engine.fault(handle))
            end(report)

        session.end = ended
        return session


def test_what_is_no_tls_is_refused_and_named(rig, secure):
    async def main():
        forward = Kept(rig, await node())
        port = rig.listen(forward, tls=secure())
        for words in (b"GET / HTTP/1.1\r\n\r\n", b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(words)
            with contextlib.suppress(OSError):
                await reader.read()
            writer.close()
        reports = await forward.ended(2)
        assert [(one.reason, one.status) for one in reports] == [("no_handshake", 500)] * 2
        assert forward.faults[0] == (
            2,
            "SSL_do_handshake() failed (SSL: error:0A00009C:SSL routines::http request)",
        )
        assert forward.faults[1][1].startswith("SSL_do_handshake() failed (SSL: error:0A00010B:")

    play(rig, main)


def test_a_million_random_bytes_harm_nobody(rig, secure, authority):
    dice = random.Random(6)

    async def main():
        forward = Forward(rig, await node())
        port = rig.listen(forward, tls=secure())
        for number in range(200):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = bytes.fromhex("160301") if number % 2 else b""
            writer.write(head + dice.randbytes(5000))
            with contextlib.suppress(OSError):
                writer.write_eof()
                await reader.read()
            writer.close()
        await forward.ended(200)
        client = await Tls(client_context(authority), port).open()
        await client.do(client.ssl.do_handshake)
        client.close()
        await until(lambda: rig.engine.active == 0)

    play(rig, main)


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_client_may_leave_at_each_byte_of_its_handshake(rig, secure, authority, version, how):
    async def main():
        forward = Forward(rig, await node())
        port = rig.listen(forward, tls=secure())
        whole = await Tls(client_context(authority, version=version), port).open()
        flights = []
        flush = whole.flush

        async def noting(piece=0):
            del piece
            flights.append(whole.outgoing.pending)
            await flush()

        whole.flush = noting
        await whole.do(whole.ssl.do_handshake)
        whole.close()
        total = sum(flights)
        assert total > 200
        steps = range(0, total, 23)
        for stop in steps:
            client = await Tls(client_context(authority, version=version), port).open()
            left = stop
            with contextlib.suppress(ssl.SSLError, OSError):
                while left > 0:
                    with contextlib.suppress(ssl.SSLWantReadError):
                        client.ssl.do_handshake()
                    data = client.outgoing.read()[:left]
                    if not data:
                        break
                    left -= len(data)
                    client.writer.write(data)
                    if left > 0:
                        client.incoming.write(await client.reader.read(65_536))
            if how == "reset":
                sock = client.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        await until(lambda: rig.engine.active == 0)
        assert len(forward.reports) == 1 + len(steps)

    play(rig, main)


def test_a_handshake_has_its_time_in_all(rig, secure):
    async def main():
        forward = Kept(rig, await node())
        port = rig.listen(forward, tls=secure(timeout_ms=500))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(bytes.fromhex("1603010200"))
        began = asyncio.get_running_loop().time()
        with contextlib.suppress(OSError):
            while not reader.at_eof():
                writer.write(b"\0")  # a byte now and then does not make it longer
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(), 0.1)
        assert asyncio.get_running_loop().time() - began < 5
        writer.close()
        await forward.ended()
        assert forward.faults == [(2, "client timed out (110: Connection timed out)")]

    play(rig, main)


def test_waiting_handshakes_hold_no_relay_up(rig, secure, authority):
    async def main():
        forward = Forward(rig, await node())
        port = rig.listen(forward, tls=secure())
        client = await Tls(client_context(authority), port).open()
        await client.do(client.ssl.do_handshake)
        hello = Tls(client_context(authority), port)
        with contextlib.suppress(ssl.SSLWantReadError):
            hello.ssl.do_handshake()
        data = hello.outgoing.read()
        crowd = []
        for _ in range(200):
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            crowd.append(writer)
        for number in range(20):
            client.ssl.write(b"%07d" % number)
            await client.flush()
            assert await client.read(7) == b"%07d" % number
        for writer in crowd:
            writer.close()
        client.close()
        await until(lambda: rig.engine.active == 0)

    play(rig, main)


def test_a_renegotiation_is_refused_and_the_session_goes_on(rig, secure, lab, authority):
    async def main():
        forward = Forward(rig, await node())
        port = rig.listen(forward, tls=secure())
        client = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2"),
            *("-CAfile", authority.certificate),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        await until(lambda: len(forward.handles) == 1)
        client.stdin.write(b"R\n")
        out = await asyncio.wait_for(client.stdout.read(), 20)
        assert b"no renegotiation" in out
        await client.wait()
        await forward.ended()

    del lab
    play(rig, main)


@pytest.mark.parametrize(
    ("verify", "has", "let_in"),
    [("on", True, True), ("on", False, False), ("optional", False, True)],
)
def test_a_client_has_to_prove_who_it_is(rig, secure, authority, verify, has, let_in):
    pair = authority.sign("engine-client", subject="/CN=engine-client") if has else None

    async def main():
        forward = Kept(rig, await node())
        port = rig.listen(forward, tls=secure(verify=verify, trusted=authority))
        client = await Tls(client_context(authority, pair=pair), port).open()
        await client.do(client.ssl.do_handshake)
        client.ssl.write(b"hello")
        got = await client.read(5)
        assert got == (b"hello" if let_in else b"")
        client.close()
        (report,) = await forward.ended()
        assert (report.reason == "no_handshake") != let_in
        if not let_in:
            assert forward.faults[0] == (2, "client sent no required SSL certificate")

    play(rig, main)


def test_a_refusal_in_words_goes_through_tls(rig, secure, authority):
    class Refuser:
        def __init__(self, _handle):
            pass

        def pick(self):
            return Refuse(403, b"go away")

        def end(self, _report):
            pass

    async def main():
        client = await Tls(client_context(authority), rig.listen(Refuser, tls=secure())).open()
        await client.do(client.ssl.do_handshake)
        assert await client.read(7) == b"go away"
        assert await client.do(lambda: client.ssl.read(1)) == b""
        client.close()
        await until(lambda: rig.engine.active == 0)

    play(rig, main)


def test_a_preread_reads_what_is_inside_tls(rig, secure, authority):
    seen = []

    class Reader:
        def __init__(self, _handle):
            pass

        def preread(self, data, ended):
            seen.append((data, ended))
            return Refuse(200, data)

        def end(self, _report):
            pass

    async def main():
        port = rig.listen(Reader, tls=secure(), preread_size=1000, preread_timeout_ms=5000)
        client = await Tls(client_context(authority), port).open()
        await client.do(client.ssl.do_handshake)
        client.ssl.write(b"CONNECT")
        assert await client.read(7) == b"CONNECT"
        assert seen == [(b"CONNECT", False)]
        client.close()
        await until(lambda: rig.engine.active == 0)

    play(rig, main)


def test_closing_the_engine_frees_sessions_in_every_state(rig, secure, authority):
    async def main():
        forward = Forward(rig, await node())
        port = rig.listen(forward, tls=secure())
        _reader, silent = await asyncio.open_connection("127.0.0.1", port)
        client = await Tls(client_context(authority), port).open()
        await client.do(client.ssl.do_handshake)
        await until(lambda: rig.engine.active == 2)
        rig.engine.close_sessions()
        silent.close()
        client.close()

    play(rig, main)


def test_connections_that_come_and_go_leave_no_memory_behind(rig, secure, authority):
    class Mallinfo(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in "abcdefghij"]

    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Mallinfo

    async def main():
        forward = Forward(rig, await node())
        port = rig.listen(forward, tls=secure(verify="optional", trusted=authority))
        context = client_context(authority, pair=authority.sign("comes-and-goes"))
        used = []
        for _turn in range(4):
            for number in range(150):
                client = await Tls(context, port).open()
                if number % 3:
                    await client.do(client.ssl.do_handshake)
                    client.ssl.write(b"x" * 20_000)
                    await client.flush()
                    if number % 3 == 2:
                        assert len(await client.read(20_000)) == 20_000
                else:
                    client.writer.write(b"no TLS at all")
                client.close()
            await until(lambda: rig.engine.active == 0)
            forward.reports.clear()
            forward.handles.clear()
            gc.collect()
            used.append(mallinfo().h)
        # An object that is forgotten has more than 200 bytes; what is kept for reuse has fewer.
        assert used[3] - used[2] < 150 * 200

    play(rig, main)


def test_a_key_that_fits_no_certificate_is_named(authority, server_pair):
    _, other = authority.sign("other")
    context = Context()
    with open(server_pair[0], "rb") as file:
        context.add_certificate(server_pair[0], file.read())
    with open(other, "rb") as file, pytest.raises(TlsError) as caught:
        context.add_key(other, file.read())
    assert str(caught.value) == (
        f'SSL_CTX_use_PrivateKey("{other}") failed'
        " (SSL: error:05800074:x509 certificate routines::key values mismatch)"
    )


@pytest.mark.parametrize("data", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAA\n"])
def test_what_is_no_certificate_has_no_end(data):
    assert not_after(data) is None


# --- certificates that Python brings ---


class Asked(Forward):
    """A way whose sessions say what the client is shown, as `give` has it."""

    def __init__(self, rig, port, give):
        super().__init__(rig, port)
        self.give = give
        self.asked = 0

    def __call__(self, handle):
        self.handles.append(handle)
        return AskedSession(self, handle)


class AskedSession(ForwardSession):
    def certificates(self):
        self.owner.asked += 1
        self.owner.give(self.handle)


@pytest.fixture
def asking(server_pair):
    """A context without certificates, and the pair that may be given."""
    names = server_pair

    def read(path):
        with open(path, "rb") as file:
            return file.read()

    context = Context()
    context.ask_pairs()
    return context, (Certificate(names[0], read(names[0])), Key(names[1], read(names[1])))


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("piece", [1, 1000])
def test_a_handshake_goes_on_with_the_certificates_that_were_given(
    rig, asking, authority, version, piece
):
    context, pair = asking

    async def main():
        way = Asked(rig, await node(), lambda handle: give(handle, [pair]))
        give = rig.engine.give_certificates
        client = await Tls(
            client_context(authority, version=version), rig.listen(way, tls=context)
        ).open()
        await client.do(client.ssl.do_handshake, piece=piece)
        client.ssl.write(b"hello")
        await client.flush()
        assert await client.read(5) == b"hello"
        client.close()
        await way.ended()
        assert way.asked == rig.engine.calls["certificates"] == 1

    play(rig, main)


@pytest.mark.parametrize("what", ["nothing", "None", "another's key"])
def test_a_client_that_is_given_no_certificate_is_refused(rig, asking, authority, what):
    context, (certificate, _key) = asking
    other = authority.sign("other-of-engine")[1]
    with open(other, "rb") as file:
        wrong = certificate, Key(other, file.read())

    def give(handle):
        if what == "None":
            rig.engine.give_certificates(handle, None)
        elif what == "another's key":
            with pytest.raises(TlsError, match="key values mismatch"):
                rig.engine.give_certificates(handle, [wrong])

    async def main():
        way = Asked(rig, await node(), give)
        client = await Tls(client_context(authority), rig.listen(way, tls=context)).open()
        with pytest.raises(ssl.SSLError, match="INTERNAL_ERROR"):
            await client.do(client.ssl.do_handshake)
        client.close()
        (report,) = await way.ended()
        assert (report.reason, report.status, way.asked) == ("no_handshake", 500, 1)

    play(rig, main)


def test_a_fault_of_ours_ends_the_client_that_asked_alone(rig, asking, authority):
    context, pair = asking
    faults = [ZeroDivisionError("ours")]

    def give(handle):
        if faults:
            raise faults.pop()
        rig.engine.give_certificates(handle, [pair])

    async def main():
        way = Asked(rig, await node(), give)
        port = rig.listen(way, tls=context)
        first = await Tls(client_context(authority), port).open()
        with pytest.raises(ssl.SSLError):
            await first.do(first.ssl.do_handshake)
        second = await Tls(client_context(authority), port).open()
        await second.do(second.ssl.do_handshake)
        for client in (first, second):
            client.close()
        reports = await way.ended(2)
        assert reports[0].status == 500
        assert len(rig.troubles) == 1
        rig.troubles.clear()

    play(rig, main)


def test_who_waits_for_a_certificate_may_leave_or_be_ended(rig, asking, authority):
    context, pair = asking

    async def main():
        way = Asked(rig, await node(), rig.engine.close_session)
        port = rig.listen(way, tls=context)
        client = await Tls(client_context(authority), port).open()
        with pytest.raises(ssl.SSLError):
            await client.do(client.ssl.do_handshake)
        client.close()
        way.give = lambda handle: (
            client_gone(),
            rig.engine.give_certificates(handle, [pair]),
        )
        leaver = await Tls(client_context(authority), port).open()

        def client_gone():
            leaver.writer.transport.abort()

        with contextlib.suppress(ssl.SSLWantReadError):
            leaver.ssl.do_handshake()
        await leaver.flush()
        reports = await way.ended(2)
        assert [report.reason for report in reports] == ["killed", "no_handshake"]

    play(rig, main)


# --- the shared cache ---


@pytest.mark.parametrize("version", [V12, V13])
def test_what_one_context_keeps_another_takes_up_where_it_is_of_the_same(
    rig, secure, authority, version
):
    cache = Cache.create(65536)

    def context(name):
        made = secure()
        made.set_tickets(None)
        # As in another worker, which maps the same memory.
        shared = Cache.attach(cache.fd)
        made.set_sessions(name, timeout=300, cache="shared", shared=shared)
        return made

    async def main():
        forward = Forward(rig, await node())
        ports = [rig.listen(forward, tls=context(name)) for name in (b"a", b"a", b"b")]
        ours = client_context(authority, version=version)
        gc.collect()  # the memory lives as long as the contexts of OpenSSL

        async def visit(port, session=None):
            client = Tls(ours, port)
            if session is not None:
                client.ssl.session = session
            await client.open()
            await client.do(client.ssl.do_handshake)
            client.ssl.write(b"hello")
            await client.flush()
            assert await client.read(5) == b"hello"
            client.close()
            return client.ssl.session_reused, client.ssl.session

        first, second, other = ports
        _, session = await visit(first)
        assert cache.items == 1
        assert (await visit(second, session))[0]
        assert not (await visit(other, session))[0]
        await forward.ended(3)

    play(rig, main)


def test_without_memory_for_it_a_session_is_just_not_kept(rig, secure, authority):
    cache = Cache.create(4096)
    context = secure()
    context.set_tickets(None)
    context.set_sessions(b"a", timeout=1 << 40, cache="shared", shared=cache)

    async def main():
        forward = Forward(rig, await node())
        port = rig.listen(forward, tls=context)
        for _ in range(50):
            client = await Tls(client_context(authority, version=V12), port).open()
            await client.do(client.ssl.do_handshake)
            client.close()
        await forward.ended(50)
        assert 5 < cache.items < 50

    play(rig, main)
