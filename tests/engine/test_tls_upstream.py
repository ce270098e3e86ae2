"""TLS to upstreams, in the engine: they may break off anywhere, and nothing is lost before that."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import ssl

import pytest

from lab.engine import Forward, until
from lab.tls import V12, V13, server_context
from tidegate.engine.tls_client import ClientTls, Resumption, keep_sessions
from tidegate.engine.tls_context import Context

pytestmark = pytest.mark.needs("openssl")

VERSIONS = {V12: "TLSv1.2", V13: "TLSv1.3"}


class Upstream:
    """A server whose TLS is done here, so that it can stop at any byte of it.

    Of what it has to send, `most` bytes go out; then it ends, without a close_notify.
    """

    def __init__(self, context, *, most=1 << 30, words=b"", polite=False):
        self.context = context
        self.most = most
        self.words = words
        self.polite = polite
        self.sent = 0
        self.reused = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def _serve(self, reader, writer):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        half = self.context.wrap_bio(incoming, outgoing, server_side=True)
        with contextlib.suppress(OSError, ssl.SSLError):
            while not await self._step(half.do_handshake, outgoing, writer):
                incoming.write(await reader.read(65_536))
            self.reused.append(half.session_reused)
            if self.words:
                await self._step(lambda: half.write(self.words), outgoing, writer)
            else:
                while data := await reader.read(65_536):
                    incoming.write(data)
                    while await self._step(lambda: self._echo(half), outgoing, writer):
                        pass
            if self.polite:
                await self._step(half.unwrap, outgoing, writer)
        writer.close()

    @staticmethod
    def _echo(half):
        data = half.read(65_536)
        if not data:
            raise ConnectionAbortedError
        half.write(data)

    async def _step(self, call, outgoing, writer) -> bool:
        try:
            call()
            done = True
        except ssl.SSLWantReadError:
            done = False
        data = outgoing.read()[: self.most - self.sent]
        self.sent += len(data)
        writer.write(data)
        await writer.drain()
        if self.sent == self.most:
            raise ConnectionAbortedError
        return done


@pytest.fixture
def to_upstream(authority):
    """How the engine goes to an upstream that proves to be `name`."""

    def make(version, *, name=b"localhost", resumption=None):
        context = Context(server=False, protocols=[VERSIONS[version]], timeout_ms=10_000)
        context.set_verify("on", 1)
        with open(authority.certificate, "rb") as file:
            context.add_trusted(authority.certificate, file.read())
        if resumption is not None:
            keep_sessions(context)
        return ClientTls(context, name=name, verifies_name=True, resumption=resumption)

    return make


async def talk(port, words) -> bytes:
    """All that a client hears that says `words` and no end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(words)
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_an_upstream_may_break_off_at_each_byte_of_its_handshake(
    rig, server_pair, to_upstream, version
):
    context = server_context(server_pair, version=version)

    async def main():
        async with Upstream(context, words=b"whole") as upstream:
            forward = Forward(rig, upstream.port, tls=to_upstream(version))
            assert await talk(rig.listen(forward), b"") == b"whole"
            total = upstream.sent - len(b"whole") - 16
        assert total > 500
        steps = range(1, total, 37)
        for most in steps:
            async with Upstream(context, most=most) as upstream:
                forward = Forward(rig, upstream.port, tls=to_upstream(version))
                assert await talk(rig.listen(forward), b"hello") == b""
                (report,) = await forward.ended()
                # In TLS 1.3 the upstream's last flight has nothing to do with its handshake.
                assert forward.errors == [errno.EPROTO] or report.reason == "upstream_closed"
                if most < total // 2:
                    assert (forward.errors, report.status) == ([errno.EPROTO], 502)
        await until(lambda: rig.engine.active == 0)

    rig.run(main)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("polite", [True, False], ids=["close_notify", "without"])
def test_an_upstreams_end_comes_after_its_last_words(
    rig, server_pair, to_upstream, version, polite
):
    words = os.urandom(200_000)

    async def main():
        context = server_context(server_pair, version=version)
        async with Upstream(context, words=words, polite=polite) as upstream:
            forward = Forward(rig, upstream.port, tls=to_upstream(version))
            assert await talk(rig.listen(forward), b"") == words
            (report,) = await forward.ended()
            assert (report.reason, report.status) == ("upstream_closed", 200)
        await until(lambda: rig.engine.active == 0)

    rig.run(main)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_no_way_around_the_name_that_an_upstream_has_to_have(
    rig, server_pair, to_upstream, version
):
    slot = Resumption()

    async def main():
        context = server_context(server_pair, version=version)
        async with Upstream(context, words=b"hello") as upstream:
            heard = []
            for name in (b"localhost", b"localhost", b"elsewhere", b"127.0.0.1", b"127.0.0.2"):
                tls = to_upstream(version, name=name, resumption=slot)
                forward = Forward(rig, upstream.port, tls=tls)
                heard.append(await talk(rig.listen(forward), b""))
            assert heard == [b"hello", b"hello", b"", b"hello", b""]
            # A session of one who failed is not tried again.
            assert upstream.reused == [False, True, True, False, True]
        await until(lambda: rig.engine.active == 0)

    rig.run(main)


def test_a_megabyte_comes_back_whole(rig, server_pair, to_upstream):
    data = os.urandom(1 << 20)

    async def main():
        async with Upstream(server_context(server_pair)) as upstream:
            forward = Forward(rig, upstream.port, tls=to_upstream(V13))
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.listen(forward))
            writer.write(data)
            assert await reader.readexactly(len(data)) == data
            writer.close()
            (report,) = await forward.ended()
            assert report.bytes_received == report.bytes_sent == len(data)
        await until(lambda: rig.engine.active == 0)

    rig.run(main)
