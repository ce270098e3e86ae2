"""What Python is asked, how often, and what becomes of its answers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import weakref

import pytest

from lab.descriptors import open_descriptors
from lab.engine import RELAY, Forward, Rig, until
from tidegate.engine.address import pack_address
from tidegate.engine.loop import Engine
from tidegate.engine.outcome import LATER, Connect, Need, Refuse


class Scripted:
    """A session whose answers the test gives."""

    def __init__(self, **answers) -> None:
        self.answers = answers
        self.seen = []
        self.handle = None
        self.report = None

    def __call__(self, handle):
        self.handle = handle
        return self

    def preread(self, data, ended):
        self.seen.append((data, ended))
        return self.answers["preread"](data, ended)

    def pick(self):
        return self.answers["pick"]()

    def farewell(self, status):
        say = self.answers.get("farewell")
        return say(status) if say else b""

    def end(self, report):
        self.report = report


async def echo_server():
    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def called(rig):
    """How often Python was called, by the kinds that were."""
    return {kind: count for kind, count in rig.engine.calls.items() if count}


def to(port):
    return Connect(pack_address(socket.AF_INET, "127.0.0.1", port), relay=RELAY, timeout_ms=5000)


def test_a_plain_session_calls_python_twice(rig):
    async def main():
        server, port = await echo_server()
        forward = Forward(rig, port)
        entrance = rig.listen(forward)
        for _ in range(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
            for _ in range(50):
                writer.write(b"message")
                await reader.readexactly(7)
            writer.close()
        await forward.ended(10)
        server.close()

    rig.run(main)
    assert called(rig) == {"pick": 10, "end": 10}


def test_each_further_node_costs_one_call(rig):
    async def main():
        server, port = await echo_server()
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            dead = closed.getsockname()[1]
            forward = Forward(rig, dead, dead, port, notify=True)
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.listen(forward))
            writer.write(b"x")
            await reader.readexactly(1)
            writer.close()
            await forward.ended()
        server.close()

    rig.run(main)
    assert called(rig) == {"pick": 1, "connected": 1, "answer": 2, "end": 1}


@pytest.mark.parametrize("hears", [True, False])
def test_who_asks_is_told_once_that_the_first_byte_has_passed(rig, hears):
    async def main():
        server, port = await echo_server()
        forward = Forward(rig, port, hears=hears)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.listen(forward))
        for _ in range(3):
            writer.write(b"x")
            await reader.readexactly(1)
        writer.close()
        (report,) = await forward.ended()
        server.close()
        return forward.answers, report

    answers, report = rig.run(main)
    assert [answer.first_byte_ms for answer in answers] == [report.first_byte_ms] * hears
    assert called(rig) == {"pick": 1, "end": 1, **({"answered": 1} if hears else {})}


def test_a_fault_in_hearing_of_the_first_byte_leaves_the_session_be(rig):
    class Faulty(Forward):
        def __call__(self, handle):
            session = super().__call__(handle)
            session.answered = lambda: 1 / 0
            return session

    async def main():
        server, port = await echo_server()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", rig.listen(Faulty(rig, port, hears=True))
        )
        for _ in range(3):
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            await until(lambda: rig.troubles)
        writer.close()
        server.close()

    rig.run(main)
    assert [type(trouble) for trouble in rig.troubles] == [ZeroDivisionError]
    rig.troubles.clear()


def test_prereading_waits_for_what_was_asked_and_replays_it(rig):
    async def main():
        server, port = await echo_server()
        session = Scripted(preread=lambda data, _: Need(10) if len(data) < 10 else to(port))
        entrance = rig.listen(session, preread_size=100, preread_timeout_ms=5000)
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        writer.write(b"abc")
        await until(lambda: session.seen == [(b"abc", False)])
        for byte in b"defghi":
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert len(session.seen) == 1
        writer.write(b"jk")
        assert await reader.readexactly(11) == b"abcdefghijk"
        assert [len(data) >= 10 for data, _ in session.seen] == [False, True]
        writer.close()
        await until(lambda: session.report)
        server.close()

    rig.run(main)


def test_prereading_tells_when_the_client_has_ended(rig):
    async def main():
        session = Scripted(preread=lambda _, ended: Refuse(400) if ended else Need(10))
        entrance = rig.listen(session, preread_size=100, preread_timeout_ms=5000)
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        writer.write(b"abc")
        await until(lambda: session.seen)
        writer.write_eof()
        assert await reader.read() == b""
        assert session.seen == [(b"abc", False), (b"abc", True)]
        assert session.report.status == 400
        writer.close()

    rig.run(main)


def test_a_silent_client_is_closed_after_the_preread_timeout(rig):
    async def main():
        session = Scripted(preread=lambda *_: Refuse(200))
        entrance = rig.listen(session, preread_size=100, preread_timeout_ms=50)
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        assert await reader.read() == b""
        await until(lambda: session.report)
        assert session.seen == [(b"", True)]
        assert session.report.status == 200
        assert rig.counter("active") == 0
        writer.close()

    rig.run(main)


def test_asking_for_more_than_the_buffer_takes_ends_that_session_alone(rig):
    async def main():
        session = Scripted(preread=lambda *_: Need(101))
        entrance = rig.listen(session, preread_size=100, preread_timeout_ms=5000)
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        writer.write(b"x")
        assert await reader.read() == b""
        assert [type(error) for error in rig.troubles] == [ValueError]
        rig.troubles.clear()
        writer.close()

    rig.run(main)


def test_a_refusal_is_read_to_its_end_by_a_client_that_had_spoken(rig):
    async def main():
        words = b"go away" * 10_000
        entrance = rig.listen(Scripted(pick=lambda: Refuse(503, words)))
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        writer.write(b"z" * 5000)
        assert await reader.read() == words
        writer.close()

    rig.run(main)


def test_an_answer_may_come_later_and_only_once(rig):
    async def main():
        server, port = await echo_server()
        session = Scripted(pick=lambda: LATER)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.listen(session))
        writer.write(b"early")
        await until(lambda: session.handle is not None)
        assert rig.engine.resume(session.handle, to(port))
        assert not rig.engine.resume(session.handle, to(port))
        assert await reader.readexactly(5) == b"early"
        writer.close()
        await until(lambda: session.report)
        assert not rig.engine.resume(session.handle, to(port))
        assert not rig.engine.close_session(session.handle)
        server.close()

    rig.run(main)


def test_a_handle_of_a_session_that_is_gone_meets_nobody_else(rig):
    async def main():
        server, port = await echo_server()
        first = Forward(rig, port)
        entrance = rig.listen(first)
        _, writer = await asyncio.open_connection("127.0.0.1", entrance)
        await until(lambda: first.handles)
        writer.close()
        await first.ended()
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        await until(lambda: len(first.handles) == 2)
        old, new = first.handles
        assert old != new
        assert not rig.engine.close_session(old)
        with pytest.raises(KeyError):
            rig.engine.client_address(old)
        assert rig.engine.close_session(new)
        assert await reader.read() == b""
        writer.close()
        await first.ended(2)
        server.close()

    rig.run(main)


def test_an_exception_in_a_decision_ends_that_session_alone(rig):
    async def main():
        server, port = await echo_server()
        answers = [ZeroDivisionError("a fault"), to(port)]

        def pick():
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        session = Scripted(pick=pick)
        entrance = rig.listen(session)
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        assert await reader.read() == b""
        writer.close()
        assert [repr(error) for error in rig.troubles] == ["ZeroDivisionError('a fault')"]
        assert session.report.status == 500
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        writer.write(b"fine")
        assert await reader.readexactly(4) == b"fine"
        writer.close()
        server.close()

    rig.run(main)
    rig.troubles.clear()


@pytest.mark.parametrize("where", ["preread", "answer", "inspect"])
def test_a_session_whose_decision_fails_may_say_farewell(rig, where):
    """As long as no relay has begun; a client that has spoken hears all of it."""
    words = b"status %d " * 5_000

    def fail(*_):
        raise ZeroDivisionError(where)

    async def main():
        server, port = await echo_server()
        if where == "answer":
            server.close()
            await server.wait_closed()

        def preread(_data, _ended):
            return Connect(
                pack_address(socket.AF_INET, "127.0.0.1", port),
                relay=RELAY,
                timeout_ms=5000,
                answer_size=100,
                answer_ms=5000,
            )

        session = Scripted(
            preread=preread, farewell=lambda status: words.replace(b"%d", b"%d" % status)
        )
        session.answers |= {"preread": fail} if where == "preread" else {}
        session.answer = session.inspect = fail
        entrance = rig.listen(session, preread_size=100, preread_timeout_ms=5000)
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        writer.write(b"hello")
        assert await reader.read() == words.replace(b"%d", b"500")
        writer.close()
        await until(lambda: session.report)
        assert (session.report.status, session.report.reason) == (500, "refused")
        await until(lambda: rig.engine.active == 0)
        server.close()

    rig.run(main)
    assert [repr(error) for error in rig.troubles] == [f"ZeroDivisionError('{where}')"]
    rig.troubles.clear()


def test_a_farewell_that_fails_too_still_ends_the_session_once(rig):
    def fail(*_):
        raise ZeroDivisionError

    async def main():
        session = Scripted(pick=fail, farewell=fail)
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.listen(session))
        assert await reader.read() == b""
        writer.close()
        await until(lambda: session.report)
        assert session.report.status == 500
        await until(lambda: rig.engine.active == 0)

    rig.run(main)
    assert [type(error) for error in rig.troubles] == [ZeroDivisionError] * 2
    rig.troubles.clear()


def test_what_is_no_outcome_is_a_fault_of_that_session(rig):
    async def main():
        entrance = rig.listen(Scripted(pick=lambda: None))
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance)
        assert await reader.read() == b""
        writer.close()
        assert [type(error) for error in rig.troubles] == [TypeError]
        rig.troubles.clear()

    rig.run(main)


def test_ended_sessions_leave_nothing_without_a_garbage_collection(rig):
    """10,000 sessions; the collector is off, so only reference counts can have freed them."""
    alive = weakref.WeakSet()

    class Watched(Forward):
        def __call__(self, handle):
            session = super().__call__(handle)
            alive.add(session)
            return session

    async def main():
        server, port = await echo_server()
        forward = Watched(rig, port)
        entrance = rig.listen(forward)
        loop = asyncio.get_running_loop()

        async def visit():
            for _ in range(250):
                with socket.socket() as sock:
                    sock.setblocking(False)
                    await loop.sock_connect(sock, ("127.0.0.1", entrance))
                    await loop.sock_sendall(sock, b"x")
                    assert await loop.sock_recv(sock, 1) == b"x"

        await asyncio.gather(*(visit() for _ in range(40)))
        await until(lambda: len(forward.reports) == 10_000)
        assert rig.counter("accepted") == 10_000
        assert rig.counter("active") == 0
        assert len(alive) == 0
        server.close()

    gc.collect()
    gc.disable()
    try:
        rig.run(main)
    finally:
        gc.enable()


@pytest.mark.parametrize("rig", [7], indirect=True)
def test_at_the_limit_of_connections_clients_wait_and_nobody_is_dropped(rig: Rig):
    async def main():
        server, port = await echo_server()
        forward = Forward(rig, port)
        entrance = rig.listen(forward)  # counts too, as in nginx
        clients = [await asyncio.open_connection("127.0.0.1", entrance) for _ in range(5)]
        for _, writer in clients:
            writer.write(b"x")
        await asyncio.gather(*(reader.readexactly(1) for reader, _ in clients[:3]))
        await until(lambda: rig.notices == [0] and not rig.engine.accepting)
        assert rig.counter("active") == 3
        waiting = asyncio.gather(*(reader.readexactly(1) for reader, _ in clients[3:]))
        clients[0][1].close()
        clients[1][1].close()
        await waiting
        for _, writer in clients[2:]:
            writer.close()
        await forward.ended(5)
        await until(lambda: rig.engine.accepting)
        server.close()

    rig.run(main)


class Crowd(threading.Thread):
    """Clients in a thread of their own, so that nothing but their sockets wakes the engine."""

    def __init__(self, port, count):
        super().__init__(daemon=True)
        self.port = port
        self.count = count
        self.answered = 0

    def run(self):
        clients = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(self.count)]
        for client in clients:
            client.settimeout(20)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(10) in (b"hi", b"")
            self.answered += 1
            client.close()


@pytest.mark.parametrize("rig", [5], indirect=True)
@pytest.mark.parametrize("end", ["text", "nobody", "fault"])
def test_places_that_come_free_in_a_decision_let_the_next_in(rig, end):
    """Nobody wakes the loop but the clients: no timer, no other reader."""

    def pick():
        if end == "fault":
            raise ZeroDivisionError
        return Refuse(200, b"hi") if end == "text" else Refuse(502)

    class Each:
        def pick(self):
            return pick()

        def farewell(self, _status):
            return b""

        def end(self, _report):
            pass

    async def main():
        crowd = Crowd(rig.listen(lambda _: Each()), 30)
        crowd.start()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, crowd.join)
        assert crowd.answered == 30

    rig.run(main)
    rig.troubles.clear()


def test_a_full_worker_leaves_the_next_client_to_another(rig):
    """Two engines share a listening socket; the first has one place, which is taken."""

    async def main():
        server, port = await echo_server()
        sock = socket.create_server(("127.0.0.1", 0), backlog=100)
        sock.setblocking(False)
        small = Rig(3)
        others = []
        forward = Forward(small, port)
        small.engine.listen(sock.fileno(), forward, shared=True)
        stop = threading.Event()

        def turn():
            while not stop.is_set():
                small.engine.select(0.01)
                small.engine.serve()

        thread = threading.Thread(target=turn, daemon=True)
        thread.start()
        loop = asyncio.get_running_loop()
        first = await asyncio.open_connection(*sock.getsockname())
        first[1].write(b"x")
        assert await first[0].readexactly(1) == b"x"
        # Only now does the second come to the line, behind the first.
        rig.engine.listen(sock.fileno(), Forward(rig, port), shared=True)
        for _ in range(3):
            others.append(await asyncio.open_connection(*sock.getsockname()))
            others[-1][1].write(b"y")
            async with asyncio.timeout(5):
                assert await others[-1][0].readexactly(1) == b"y"
        for _, writer in [first, *others]:
            writer.close()
        await loop.run_in_executor(None, stop.wait, 0.1)
        stop.set()
        thread.join()
        small.close()
        rig.engine.close_sessions()
        sock.close()
        server.close()

    rig.run(main)


def test_a_session_whose_news_of_the_connect_fails_still_ends_once(rig):
    async def main():
        server, port = await echo_server()

        class Failing(Forward):
            def __call__(self, handle):
                session = super().__call__(handle)
                session.connected = self.fail
                return session

            def fail(self):
                raise OSError("no such descriptor")

        forward = Failing(rig, port, notify=True)
        entrance = rig.listen(forward)
        loop = asyncio.get_running_loop()

        def come_and_go():
            for _ in range(200):
                socket.create_connection(("127.0.0.1", entrance)).close()

        await loop.run_in_executor(None, come_and_go)
        await forward.ended(200)
        await until(lambda: rig.engine.active == 0)
        assert len(forward.reports) == len(rig.troubles) == 200
        rig.troubles.clear()
        server.close()

    rig.run(main)


def test_an_engine_that_cannot_be_made_closes_nothing():
    before = open_descriptors()
    with pytest.raises(OverflowError):
        Engine(connections=-1, counters=None, serial=None, notice=print, trouble=print)
    assert open_descriptors() <= before
