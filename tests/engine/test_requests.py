"""Requests on a connection: each goes so far and no further, and the next one comes behind it.

The protocol of these tests: a request is a line `NAME SIZE` and SIZE bytes; so is an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from lab.engine import until
from tidegate.engine.address import pack_address
from tidegate.engine.outcome import Accept, Connect, Heard, Need, Refuse, Relay, Say, Tell

LONG_MS = 30_000
RELAY = Relay(timeout_ms=LONG_MS, buffer_size=65536)


class Upstream:
    """Answers each connection's one request with `answer`, and keeps the requests."""

    def __init__(self, answer=b"ok 0\n", *, stays=True, early=False) -> None:
        self.answer = answer
        self.stays = stays  # does not close after its answer
        self.early = early  # answers when it has the head
        self.requests = []
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.opened = self.closed = 0

    async def serve(self):
        self.server = await asyncio.start_server(self.meet, sock=self.sock, limit=2**20)

    async def meet(self, reader, writer):
        self.opened += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self.talk(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.closed += 1

    async def talk(self, reader, writer):
        line = await reader.readline()
        request = bytearray(line)
        self.requests.append(request)
        if self.early:
            writer.write(self.answer)
        left = int(line.split()[1])
        while left and (data := await reader.read(left)):
            request += data
            left -= len(data)
        if not self.early:
            writer.write(self.answer)
        while self.stays and (more := await reader.read(65536)):
            request += more


class Requests:
    """Each request goes to the upstream, but `say SIZE`, which is answered here."""

    def __init__(self, upstream=None, **more) -> None:
        self.upstream = upstream
        self.more = {"answer_ms": LONG_MS, "body_ms": LONG_MS, "relay": RELAY} | more
        self.accept = {}
        self.seen = []
        self.answers = []
        self.done_reports = []
        self.errors = []
        self.overheard = []
        self.report = None

    def __call__(self, handle):
        self.handle = handle
        return self

    def preread(self, data, ended):
        self.seen.append((data, ended))
        if b"\n" not in data:
            return Refuse(400) if ended else Need(len(data) + 1, LONG_MS)
        line = data.partition(b"\n")[0]
        name, size = line.split()
        if name == b"say":
            return self.say(b"said 0\n", len(line) + 1)
        if name == b"bye":
            return Refuse(200, b"bye 0\n")
        self.taken = len(line) + 1
        return self.connect(int(size))

    def say(self, words, take):
        return Say(words, take=take, timeout_ms=LONG_MS, idle=True)

    def connect(self, size):
        self.size = size
        return Connect(
            pack_address(socket.AF_INET, "127.0.0.1", self.upstream.port),
            first=b"for %d\n" % size,
            take=self.taken,
            timeout_ms=5000,
            answer_size=1000,
            upload=size,
            **self.more,
        )

    def inspect(self, data, ended):
        self.answers.append((data, ended))
        if b"\n" not in data:
            return Refuse(502, b"no answer\n") if ended else Need(len(data) + 1)
        line = data.partition(b"\n")[0]
        return self.take_answer(len(line) + 1, int(line.split()[1]))

    def take_answer(self, take, size):
        return Accept(data=b"got %d\n" % size, take=take, download=size, again=True, **self.accept)

    def answer(self, error, _ms):
        self.errors.append(error)
        return self.say(b"none 0\n", self.taken + self.size)

    def done(self, report):
        self.done_reports.append(report)
        # The rest of a body that nobody waited for is no request.
        return Refuse(200) if report.upload_left > 0 else self.say(b"", 0)

    def overhear(self, data, ended):
        self.overheard.append((data, ended))
        return Heard()

    def farewell(self, _status):
        return b""

    def end(self, report):
        self.report = report


class Client:
    async def connect(self, rig, session, **options):
        options = {"preread_size": 1000, "preread_timeout_ms": LONG_MS} | options
        port = rig.listen(session, **options)
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        return self

    async def ask(self, words):
        self.writer.write(words)
        return await self.hear()

    async def hear(self):
        line = await self.reader.readline()
        return line + (await self.reader.readexactly(int(line.split()[1])) if line else b"")


def run(rig, session, talk, *, upstream=None, **options):
    """Let a client talk, then close; the session must have ended then."""

    async def main():
        if upstream is not None:
            await upstream.serve()
        client = await Client().connect(rig, session, **options)
        await talk(client)
        client.writer.close()
        await until(lambda: session.report)
        if upstream is not None:
            await until(lambda: upstream.closed == upstream.opened)
            upstream.server.close()

    rig.run(main)


# --- our own answers ---


def test_an_answer_of_ours_leaves_the_client_to_ask_again(rig):
    session = Requests()

    async def talk(client):
        for _ in range(3):
            assert await client.ask(b"say 0\n") == b"said 0\n"

    run(rig, session, talk)
    assert session.seen == [(b"say 0\n", False)] * 3 + [(b"", True)]
    assert session.report.bytes_received == 18
    assert session.report.bytes_sent == 21


def test_pipelined_requests_are_answered_in_order_without_another_byte(rig):
    session = Requests()

    async def talk(client):
        client.writer.write(b"say 1\nsay 2\nsa")
        assert await client.hear() == await client.hear() == b"said 0\n"
        assert await client.ask(b"y 3\n") == b"said 0\n"

    run(rig, session, talk)
    assert [data for data, _ in session.seen] == [
        b"say 1\nsay 2\nsa",
        b"say 2\nsa",
        b"sa",
        b"say 3\n",
        b"",
    ]


def test_more_pipelined_requests_than_the_buffer_holds_are_all_answered(rig):
    session = Requests()

    async def talk(client):
        client.writer.write(b"say 0\n" * 1000)
        for _ in range(1000):
            assert await client.hear() == b"said 0\n"

    run(rig, session, talk, preread_size=50)


def test_what_was_asked_before_the_clients_end_is_answered(rig):
    session = Requests()

    async def talk(client):
        client.writer.write(b"say 1\nsay 2\n")
        client.writer.write_eof()
        assert await client.reader.read() == b"said 0\nsaid 0\n"

    run(rig, session, talk)
    assert session.seen[-1] == (b"", True)


def test_an_answer_goes_to_a_client_that_takes_it_slowly(rig):
    words = b"x" * 8_000_000
    session = Requests()
    session.say = lambda _words, take: Say(words, take=take, send_ms=LONG_MS)

    async def talk(client):
        client.writer.write(b"say 0\nsay 0\n")
        for _ in range(2):
            for _ in range(8):
                assert await client.reader.readexactly(1_000_000)
                await asyncio.sleep(0.01)

    run(rig, session, talk)
    assert session.report.bytes_sent == 2 * len(words)


def test_a_client_that_takes_nothing_is_left(rig):
    session = Requests()
    session.say = lambda _words, take: Say(b"x" * 20_000_000, take=take, send_ms=200)

    async def talk(client):
        client.writer.transport.pause_reading()
        client.writer.write(b"say 0\n")
        await until(lambda: session.report)

    run(rig, session, talk)
    assert session.report.reason == "timed_out"


def test_a_client_that_asks_nothing_more_is_told_of_as_ended(rig):
    session = Requests()
    session.say = lambda words, take: Say(words, take=take, timeout_ms=100)

    async def talk(client):
        assert await client.ask(b"say 0\n") == b"said 0\n"
        assert await client.reader.read() == b""

    run(rig, session, talk)
    assert session.seen[-1] == (b"", True)
    assert session.report.status == 400


def test_a_request_may_be_given_its_own_time(rig):
    session = Requests()
    session.preread = lambda data, ended: (
        Refuse(408, b"late 0\n")
        if ended
        else Need(len(data) + 1, 100 if data == b"ab" else LONG_MS)
    )

    async def talk(client):
        client.writer.write(b"a")
        await asyncio.sleep(0.05)
        before = time.monotonic()
        assert await client.ask(b"b") == b"late 0\n"
        assert 0.09 <= time.monotonic() - before < 5

    run(rig, session, talk, preread_timeout_ms=LONG_MS)
    assert session.report.status == 408


def test_the_buffer_of_a_request_may_grow(rig):
    session = Requests()

    def preread(data, ended):
        session.seen.append((data, ended))
        if ended:
            return Refuse(400)
        if len(data) == 10:
            return Say(b"", need=11, size=100)
        return Say(b"long 0\n", take=len(data), size=10) if len(data) == 100 else Need(100)

    session.preread = preread

    async def talk(client):
        for _ in range(2):
            assert await client.ask(b"x" * 100) == b"long 0\n"

    run(rig, session, talk, preread_size=10)
    lengths = [len(data) for data, _ in session.seen]
    assert [lengths[0], max(lengths)] == [10, 100]


# --- waiting ---


def test_those_that_owe_their_first_byte_are_counted_as_waiting(rig):
    session = Requests()

    async def talk(client):
        await until(lambda: rig.counter("waiting") == 1)
        client.writer.write(b"s")
        await until(lambda: session.seen)
        assert rig.counter("waiting") == 0
        assert await client.ask(b"ay 0\n") == b"said 0\n"
        await until(lambda: rig.counter("waiting") == 1)
        client.writer.write(b"bye 0\n")
        assert await client.reader.read() == b"bye 0\n"
        assert rig.counter("waiting") == 0

    run(rig, session, talk, idle_counts=True)
    assert rig.counter("waiting") == 0


def test_a_waiting_session_that_leaves_or_is_late_is_none(rig):
    leaving, late = Requests(), Requests()

    async def main():
        for session in (leaving, late):
            client = await Client().connect(rig, session, idle_counts=True, preread_timeout_ms=300)
            await until(lambda: rig.counter("waiting") == 1)
            if session is leaving:
                client.writer.close()
            await until(lambda: session.report)  # noqa: B023 it is awaited here
            client.writer.close()
            assert rig.counter("waiting") == 0

    rig.run(main)


def test_only_clients_between_two_requests_are_closed_as_idle(rig):
    idle, fresh, busy = Requests(), Requests(), Requests()

    async def main():
        clients = [
            await Client().connect(rig, session, idle_counts=True)
            for session in (idle, fresh, busy)
        ]
        assert await clients[0].ask(b"say 0\n") == b"said 0\n"
        assert await clients[2].ask(b"say 0\n") == b"said 0\n"
        clients[2].writer.write(b"say")
        await until(lambda: len(busy.seen) == 2)
        assert rig.engine.close_idle() == 1
        assert await clients[0].reader.read() == b""
        assert idle.report.reason == "killed"
        assert await clients[1].ask(b"say 0\n") == b"said 0\n"
        assert await clients[2].ask(b" 0\n") == b"said 0\n"
        for client in clients:
            client.writer.close()
        await until(lambda: fresh.report and busy.report)

    rig.run(main)


# --- requests that go on ---


def test_requests_of_one_client_go_to_the_upstream_one_by_one(rig):
    upstream = Upstream(b"ok 5\nhello")
    session = Requests(upstream)

    async def talk(client):
        for _ in range(3):
            assert await client.ask(b"put 3\nabc") == b"got 5\nhello"
        await until(lambda: upstream.closed == 3)

    run(rig, session, talk, upstream=upstream)
    assert upstream.requests == [b"for 3\nabc"] * 3
    assert len(session.done_reports) == 3
    assert session.report.bytes_sent == 3 * len(b"got 5\nhello")
    assert rig.counter("connections") == 1  # the listener


def test_pipelined_bytes_are_no_part_of_the_request_before(rig):
    upstream = Upstream(b"ok 0\n")
    session = Requests(upstream)

    async def talk(client):
        client.writer.write(b"put 3\nabcput 4\nabcdsay 0\nput 0\n")
        assert await client.hear() == await client.hear() == b"got 0\n"
        assert await client.hear() == b"said 0\n"
        assert await client.hear() == b"got 0\n"

    run(rig, session, talk, upstream=upstream)
    assert upstream.requests == [b"for 3\nabc", b"for 4\nabcd", b"for 0\n"]


def test_what_the_upstream_sends_too_much_does_not_reach_the_client(rig):
    upstream = Upstream(b"ok 5\nhello and more" + b"!" * 100_000)
    session = Requests(upstream)

    async def talk(client):
        for _ in range(2):
            assert await client.ask(b"get 0\n") == b"got 5\nhello"

    run(rig, session, talk, upstream=upstream)


@pytest.mark.parametrize("early", [False, True])
def test_large_bodies_stream_both_ways(rig, early):
    body, answer = bytes(range(256)) * 20_000, bytes(reversed(range(256))) * 20_000
    upstream = Upstream(b"ok %d\n" % len(answer) + answer, early=early)
    session = Requests(upstream)

    async def talk(client):
        for _ in range(2):
            client.writer.write(b"put %d\n" % len(body) + body)
            assert await client.hear() == b"got %d\n" % len(answer) + answer
            if early:
                break

    run(rig, session, talk, upstream=upstream)
    if not early:
        assert upstream.requests == [b"for %d\n" % len(body) + body] * 2
        assert session.done_reports[0].streamed > len(body) - 1000
        assert session.done_reports[0].upload_left == 0


def test_an_upstream_that_ends_too_early_ends_the_client_too(rig):
    upstream = Upstream(b"ok 10\nhello", stays=False)
    session = Requests(upstream)

    async def talk(client):
        client.writer.write(b"get 0\n")
        assert await client.reader.read() == b"got 10\nhello"

    run(rig, session, talk, upstream=upstream)
    assert session.done_reports == []
    assert session.report.reason == "upstream_closed"
    assert session.report.download_left == 5


def test_an_answer_without_a_bound_is_complete_when_the_upstream_ends(rig):
    upstream = Upstream(b"ok 0\nhello", stays=False)
    session = Requests(upstream)
    session.take_answer = lambda take, _: Accept(data=b"", take=take, again=True)

    async def talk(client):
        client.writer.write(b"get 0\n")
        assert await client.reader.readexactly(5) == b"hello"
        assert await client.ask(b"say 0\n") == b"said 0\n"

    run(rig, session, talk, upstream=upstream)
    assert len(session.done_reports) == 1


def test_a_bounded_answer_may_be_the_clients_last(rig):
    upstream = Upstream(b"ok 5\nhello and more")
    session = Requests(upstream)
    session.take_answer = lambda take, size: Accept(take=take, download=size)

    async def talk(client):
        client.writer.write(b"get 0\nget 0\n")
        assert await client.reader.read() == b"hello"

    run(rig, session, talk, upstream=upstream)
    assert session.report.reason == "upstream_closed"
    assert session.done_reports == []


def test_a_failed_upstream_may_be_answered_for(rig):
    upstream = Upstream()
    upstream.sock.close()
    session = Requests(upstream)

    async def talk(client):
        assert await client.ask(b"put 3\nabcsay 0\n") == b"none 0\n"
        assert await client.hear() == b"said 0\n"

    run(rig, session, talk)
    assert len(session.errors) == 1


def test_another_answer_may_stand_for_the_upstreams(rig):
    upstream = Upstream(b"ok 0\n")
    session = Requests(upstream)
    session.take_answer = lambda _take, _size: session.say(b"ours 0\n", session.taken)

    async def talk(client):
        assert await client.ask(b"get 0\nsay 0\n") == b"ours 0\n"
        assert await client.hear() == b"said 0\n"
        await until(lambda: upstream.closed == 1)

    run(rig, session, talk, upstream=upstream)


def test_a_silent_upstream_is_left_but_not_while_the_client_still_sends(rig):
    upstream = Upstream()
    upstream.talk = lambda reader, _writer: reader.read()
    session = Requests(upstream, answer_ms=300)

    async def talk(client):
        client.writer.write(b"put 50\n")
        for _ in range(50):
            await asyncio.sleep(0.02)
            client.writer.write(b"x")
        assert session.errors == []
        assert await client.hear() == b"none 0\n"

    session.say = lambda words, _take: Say(words, timeout_ms=LONG_MS)
    run(rig, session, talk, upstream=upstream)
    assert len(session.errors) == 1


def test_a_client_that_keeps_its_body_back_is_left(rig):
    upstream = Upstream()
    session = Requests(upstream, body_ms=200)

    async def talk(client):
        client.writer.write(b"put 3\nab")
        assert await client.reader.read() == b""

    run(rig, session, talk, upstream=upstream)
    assert session.report.reason == "timed_out"
    assert session.report.upload_left == 1


def test_a_body_that_went_is_not_sent_to_another_upstream(rig):
    upstream = Upstream(b"ok 0\n")
    session = Requests(upstream)
    session.take_answer = lambda _take, _size: session.connect(20_000)

    async def talk(client):
        client.writer.write(b"put 20000\n" + b"x" * 20_000)
        assert await client.reader.read() == b""

    run(rig, session, talk, upstream=upstream)
    (trouble,) = rig.troubles
    assert "not kept" in str(trouble)
    rig.troubles.clear()
    assert session.report.status == 500


@pytest.mark.parametrize("phase", ["waiting", "relaying"])
def test_nobody_waits_for_an_answer_whose_client_has_left(rig, phase):
    upstream = Upstream(b"ok 10\nhello" if phase == "relaying" else b"ok")
    session = Requests(upstream)

    async def talk(client):
        client.writer.write(b"get 0\nsay")
        if phase == "relaying":
            assert await client.reader.readexactly(12)
        else:
            await until(lambda: session.answers)
        client.writer.close()
        await until(lambda: session.report)

    run(rig, session, talk, upstream=upstream)
    assert session.report.reason == "client_closed"
    assert upstream.requests == [b"for 0\n"]


def test_a_client_that_has_said_all_may_wait_for_its_answer_where_ends_are_told_apart(rig):
    upstream = Upstream(b"ok 10\nhelloworld")
    session = Requests(upstream, relay=Relay(timeout_ms=LONG_MS, buffer_size=4096, half_close=True))

    async def talk(client):
        client.writer.write(b"put 3\nabcsay 0\n")
        client.writer.write_eof()
        assert await client.reader.read() == b"got 10\nhelloworldsaid 0\n"

    run(rig, session, talk, upstream=upstream)


def test_a_client_that_does_not_take_its_answer_has_its_own_limit(rig):
    upstream = Upstream(b"ok 20000000\n" + b"x" * 20_000_000)
    relay = Relay(timeout_ms=LONG_MS, buffer_size=65536, send_timeout_ms=200)
    session = Requests(upstream, relay=relay)

    async def talk(client):
        client.writer.transport.pause_reading()
        client.writer.write(b"get 0\n")
        await until(lambda: session.report)

    run(rig, session, talk, upstream=upstream)
    assert session.report.reason == "timed_out"
    assert session.report.session_ms < LONG_MS


# --- more words with the upstream ---


def test_an_upstream_may_be_told_more_before_its_answer_is_taken(rig):
    upstream = Upstream()

    async def talk_twice(reader, writer):
        upstream.requests.append(await reader.readline())
        writer.write(b"hello 0\nearly")
        upstream.requests.append(await reader.readexactly(6))
        writer.write(b" 0\nrest")
        await reader.read()

    upstream.talk = talk_twice
    session = Requests(upstream)
    told = []

    def take_answer(take, _size):
        if not told:
            told.append(take)
            return Tell(b"second", take=take, need=8)
        return Accept(take=take)

    session.take_answer = take_answer

    async def talk(client):
        client.writer.write(b"get 0\n")
        assert await client.reader.readexactly(4) == b"rest"

    run(rig, session, talk, upstream=upstream)
    assert upstream.requests == [b"for 0\n", b"second"]
    assert session.answers[-1][0].startswith(b"early 0\n")


def test_an_upstream_that_is_silent_after_more_words_is_left(rig):
    upstream = Upstream(b"ok 0\n")
    session = Requests(upstream, answer_ms=300)
    session.take_answer = lambda take, _size: Tell(b"and?", take=take)

    async def talk(client):
        assert await client.ask(b"get 0\n") == b"none 0\n"

    run(rig, session, talk, upstream=upstream)
    assert len(session.errors) == 1


# --- tunnels ---


def test_a_tunnel_begins_with_what_the_client_sent_behind_its_request(rig):
    upstream = Upstream(b"ok 0\nwelcome")
    session = Requests(upstream)
    session.take_answer = lambda take, _size: Accept(take=take, upload=-1)

    async def talk(client):
        client.writer.write(b"get 0\nhello")
        assert await client.reader.readexactly(7) == b"welcome"
        client.writer.write(b", node")
        await until(lambda: upstream.requests == [b"for 0\nhello, node"])

    run(rig, session, talk, upstream=upstream)
    assert session.report.upload_left == -1


def test_the_first_bytes_of_a_tunnel_may_be_overheard(rig):
    upstream = Upstream(b"ok 0\nwelcome")
    session = Requests(upstream)
    session.take_answer = lambda take, _size: Accept(take=take, upload=-1, tap=100)

    def overhear(data, ended):
        session.overheard.append((data, ended))
        return Need(8) if len(data) < 8 else Heard(idle_ms=200)

    session.overhear = overhear

    async def talk(client):
        client.writer.write(b"get 0\nhello")
        await until(lambda: session.overheard)
        client.writer.write(b", n")
        await until(lambda: len(session.overheard) == 2)
        client.writer.write(b"ode" * 1000)
        assert await client.reader.readexactly(7) == b"welcome"
        assert await client.reader.read() == b""

    run(rig, session, talk, upstream=upstream)
    assert session.overheard[0] == (b"hello", False)
    assert session.overheard[1] == (b"hello, n", False)
    assert upstream.requests == [b"for 0\nhello, n" + b"ode" * 1000]
    assert session.report.reason == "timed_out"
    assert rig.engine.calls["overhear"] == 2


def test_no_more_is_overheard_than_was_asked_for(rig):
    upstream = Upstream(b"ok 0\n")
    session = Requests(upstream)
    session.take_answer = lambda take, _size: Accept(take=take, upload=-1, tap=10)

    def overhear(data, ended):
        session.overheard.append((data, ended))
        return Need(1000)

    session.overhear = overhear

    async def talk(client):
        client.writer.write(b"get 0\nhello")
        await until(lambda: session.overheard)
        client.writer.write(b"x" * 100_000)
        await until(lambda: len(upstream.requests[0]) == 100_011)

    run(rig, session, talk, upstream=upstream)
    assert session.overheard == [(b"hello", False), (b"helloxxxxx", True)]


def test_a_fault_of_overhearing_changes_nothing(rig):
    upstream = Upstream(b"ok 0\n")
    session = Requests(upstream)
    session.take_answer = lambda take, _size: Accept(take=take, upload=-1, tap=10)
    session.overhear = lambda _data, _ended: 1 // 0

    async def talk(client):
        client.writer.write(b"get 0\nhello")
        await until(lambda: rig.troubles)
        client.writer.write(b"x")
        await until(lambda: upstream.requests == [b"for 0\nhellox"])

    run(rig, session, talk, upstream=upstream)
    assert isinstance(rig.troubles.pop(), ZeroDivisionError)


def test_other_terms_may_hold_for_a_tunnel(rig):
    upstream = Upstream(b"ok 0\n")
    session = Requests(upstream)
    terms = Relay(timeout_ms=200, buffer_size=4096)
    session.take_answer = lambda take, _size: Accept(take=take, upload=-1, relay=terms)

    async def talk(client):
        client.writer.write(b"get 0\n")
        assert await client.reader.read() == b""

    run(rig, session, talk, upstream=upstream)
    assert session.report.reason == "timed_out"
