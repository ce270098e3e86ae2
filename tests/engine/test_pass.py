"""A session that is passed on begins again as another's, and loses nothing on the way."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import weakref

import pytest

from lab.engine import RELAY, until
from lab.tls import V12, V13, client_context, hello_of
from tidegate.engine.address import pack_address
from tidegate.engine.outcome import Connect, Need, Pass, Refuse
from tidegate.engine.tls_context import Context


class Session:
    """One whose answers the test gives; the newest one is kept."""

    def __init__(self, **answers):
        self.answers = answers
        self.calls = []
        self.report = None
        self.handle = None

    def __call__(self, handle):
        self.handle = handle
        return self

    def accept(self, header, error):
        self.calls.append(("accept", header, error))

    def preread(self, data, ended):
        self.calls.append(("preread", data, ended))
        return self.answers["preread"](data, ended)

    def pick(self):
        self.calls.append(("pick",))
        return self.answers["pick"]()

    def farewell(self, _status):
        return b""

    def end(self, report):
        self.calls.append(("end",))
        self.report = report


def says(text):
    """A session that tells what was preread, in its own words."""
    return Session(preread=lambda data, _ended: Refuse(200, text + data))


async def ask(port, data=b"", *, end=False):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        if end:
            writer.write_eof()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def test_another_session_begins_and_the_first_is_never_heard_of_again(rig):
    told = []
    second = Session(pick=lambda: Refuse(200, b"second"))
    second.end = lambda report: told.append(("end", report.status))
    first = Session(pick=lambda: Pass(second, release=lambda: told.append("release")))

    async def main():
        assert await ask(rig.listen(first)) == b"second"
        await until(lambda: len(told) == 2)

    rig.run(main)
    assert told == [("end", 200), "release"]
    assert first.calls == [("pick",)]
    assert second.calls == [("pick",)]
    assert rig.counter("active") == rig.counter("connections") - 1 == 0


def test_each_pass_has_its_release(rig):
    told = []
    last = Session(pick=lambda: Refuse(200, b"last"))
    chain = last
    for number in range(10):
        chain = Session(
            pick=lambda to=chain, number=number: Pass(to, release=lambda: told.append(number))
        )

    async def main():
        assert await ask(rig.listen(chain)) == b"last"
        await until(lambda: len(told) == 10)

    rig.run(main)
    assert told == list(range(9, -1, -1))


@pytest.mark.parametrize("accepts", [False, True])
def test_what_was_preread_comes_first(rig, accepts):
    second = says(b"second ")
    first = Session(
        preread=lambda data, _ended: (
            Need(5) if len(data) < 5 else Pass(second, preread_size=3, asks_accept=accepts)
        )
    )

    async def main():
        port = rig.listen(first, preread_size=100, preread_timeout_ms=5000)
        assert await ask(port, b"hello") == b"second hello"

    rig.run(main)
    assert second.calls[:-1] == [*[("accept", b"", 0)] * accepts, ("preread", b"hello", False)]


def test_more_may_be_read_there(rig):
    second = Session(preread=lambda data, _ended: Need(8) if len(data) < 8 else Refuse(200, data))
    first = Session(
        preread=lambda _data, _ended: Pass(second, preread_size=100, preread_timeout_ms=5000)
    )

    async def main():
        port = rig.listen(first, preread_size=100, preread_timeout_ms=5000)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hell")
        await until(lambda: bool(second.calls))
        writer.write(b"o you")
        assert await reader.read() == b"hello you"
        writer.close()

    rig.run(main)


def test_the_time_for_more_is_that_of_the_other(rig):
    second = Session(preread=lambda data, _ended: Need(8) if len(data) < 8 else Refuse(200, data))
    first = Session(
        preread=lambda _data, _ended: Pass(second, preread_size=100, preread_timeout_ms=30_000)
    )

    async def main():
        port = rig.listen(first, preread_size=100, preread_timeout_ms=50)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hell")
        await until(lambda: bool(second.calls))
        await asyncio.sleep(0.3)  # beyond the time of the first one
        writer.write(b"o you")
        assert await reader.read() == b"hello you"
        writer.close()

    rig.run(main)


def test_an_end_in_between_is_told(rig):
    second = says(b"")
    first = Session(
        preread=lambda data, ended: Pass(second, preread_size=100) if ended else Need(len(data) + 1)
    )

    async def main():
        port = rig.listen(first, preread_size=100, preread_timeout_ms=5000)
        assert await ask(port, b"hello", end=True) == b"hello"

    rig.run(main)
    assert ("preread", b"hello", True) in second.calls


def test_an_upstream_of_the_other_gets_what_was_preread(rig):
    async def main():
        async def echo(reader, writer):
            while data := await reader.read(1000):
                writer.write(data)
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        address = pack_address(socket.AF_INET, *server.sockets[0].getsockname())
        second = Session(pick=lambda: Connect(address, relay=RELAY, timeout_ms=5000, first=b"<"))
        first = Session(preread=lambda _data, _ended: Pass(second))
        port = rig.listen(first, preread_size=100, preread_timeout_ms=5000)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello")
        assert await reader.readexactly(6) == b"<hello"
        writer.close()
        server.close()

    rig.run(main)


def test_a_header_is_read_there(rig):
    second = Session(pick=lambda: Refuse(200, b"second"))
    first = Session(pick=lambda: Pass(second, header_timeout_ms=5000))
    header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"

    async def main():
        assert await ask(rig.listen(first), header) == b"second"

    rig.run(main)
    assert second.calls[0] == ("accept", header, 0)


# --- TLS ---


@pytest.fixture
def secure(server_pair):
    certificate, key = server_pair
    context = Context()
    with open(certificate, "rb") as file:
        context.add_certificate(certificate, file.read())
    with open(key, "rb") as file:
        context.add_key(key, file.read())
    return context


async def shake(port, context):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    data = await reader.read()
    writer.close()
    return data


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("accepts", [False, True])
def test_a_handshake_begins_with_what_was_preread(rig, secure, authority, version, accepts):
    sizes = [0, 1, 2, 4, 5, 6, 9, 43, 100, 150]
    context = client_context(authority, version=version)
    seen = []

    def passing(data, _ended):
        if len(data) <= sizes[0]:
            return Need(sizes[0] + 1)
        seen.append(len(data))
        other = Session(pick=lambda: Refuse(200, b"in TLS"))
        return Pass(other, tls=secure, asks_accept=accepts)

    async def main():
        # So little is taken from the socket at once, the rest stays there.
        for size in list(sizes):
            sizes[0] = size
            port = rig.listen(
                Session(preread=passing),
                preread_size=size + 1,
                preread_timeout_ms=5000,
            )
            assert await shake(port, context) == b"in TLS"

    rig.run(main)
    assert seen == [size + 1 for size in [0, 1, 2, 4, 5, 6, 9, 43, 100, 150]]


@pytest.mark.needs("openssl")
def test_garbage_that_was_preread_ends_the_handshake(rig, secure):
    ends = []

    async def main():
        def passing(_data, _ended):
            other = Session(pick=lambda: Refuse(200))
            other.end = ends.append
            return Pass(other, tls=secure)

        port = rig.listen(
            lambda _handle: Session(preread=passing), preread_size=65_536, preread_timeout_ms=5000
        )
        hello = hello_of(name="a.example")
        for data in (os.urandom(3), os.urandom(2000), hello[:50], hello + hello, hello + b"x" * 99):
            await ask(port, data, end=True)
        await until(lambda: len(ends) == 5)
        # A hello twice is refused, or waited behind until the end.
        assert {one.reason for one in ends} == {"no_handshake"}

    rig.run(main)
    assert rig.troubles == []


@pytest.mark.needs("openssl")
def test_tls_that_ended_goes_along(rig, secure, authority):
    second = says(b"second ")
    first = Session(pick=lambda: Pass(second, preread_size=100, preread_timeout_ms=5000))

    async def main():
        port = rig.listen(first, tls=secure)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(authority)
        )
        writer.write(b"hello")
        assert await reader.read() == b"second hello"
        writer.close()

    rig.run(main)


@pytest.mark.needs("openssl")
def test_what_cannot_be_passed_on_is_a_fault_of_its_session_alone(rig, secure, authority):
    other = Session(pick=lambda: Refuse(200))
    released = []
    release = {"release": lambda: released.append(1)}
    context = client_context(authority, verify=False)

    async def main():
        inner = rig.listen(Session(pick=lambda: Pass(other, tls=secure, **release)), tls=secure)
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            assert await shake(inner, context) == b""
        late = rig.listen(
            Session(preread=lambda _data, _ended: Pass(other, header_timeout_ms=1, **release)),
            preread_size=10,
            preread_timeout_ms=5000,
        )
        assert await ask(late, b"hello") == b""

    rig.run(main)
    assert [str(one) for one in rig.troubles] == [
        "there is no TLS inside of TLS",
        "a PROXY header is the first that a client says",
    ]
    rig.troubles.clear()
    assert other.calls == []
    assert released == []


def test_a_release_that_raises_stops_no_other(rig):
    told = []

    def fail():
        raise RuntimeError("release")

    last = Session(pick=lambda: Refuse(200))
    middle = Session(pick=lambda: Pass(last, release=lambda: told.append(1)))
    first = Session(pick=lambda: Pass(middle, release=fail))

    async def main():
        await ask(rig.listen(first))
        await until(lambda: bool(told))

    rig.run(main)
    assert [str(one) for one in rig.troubles] == ["release"]
    rig.troubles.clear()


def test_another_may_serve_as_long_as_nothing_was_chosen(rig):
    engine = rig.engine
    second = Session()
    second.go_on = lambda data: Refuse(200, b"second " + data)
    first = Session()

    def choose(data, _ended):
        engine.serve_as(first.handle, second, preread_size=1)
        return second.go_on(data)

    first.answers["preread"] = choose

    async def main():
        port = rig.listen(first, preread_size=100, preread_timeout_ms=5000)
        assert await ask(port, b"hello") == b"second hello"
        await until(lambda: second.report is not None)
        with pytest.raises(KeyError):
            engine.serve_as(first.handle, first)

    rig.run(main)
    assert first.calls == [("preread", b"hello", False)]


def test_nobody_stays_behind(rig, secure):
    kept = []

    def passing(_data, _ended):
        other = Session(pick=lambda: Refuse(200))
        kept.append(weakref.ref(other))
        return Pass(other, tls=secure, release=lambda: kept)

    def make(handle):
        made = Session(preread=passing)
        kept.append(weakref.ref(made))
        return made(handle)

    async def main():
        port = rig.listen(make, preread_size=100, preread_timeout_ms=5000)
        for _ in range(50):
            await ask(port, b"hello", end=True)
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03")  # it is in its handshake when all ends
        await until(lambda: len(kept) == 102)
        rig.engine.close_sessions()
        writer.close()

    rig.run(main)
    gc.collect()
    assert [one() for one in kept] == [None] * len(kept)
