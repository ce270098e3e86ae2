"""An engine under asyncio in this process; its clients and upstreams are asyncio's own streams."""

from __future__ import annotations

import array
import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

from tidegate.engine.address import pack_address
from tidegate.engine.loop import COUNTERS, Engine
from tidegate.engine.outcome import Connect, Outcome, Refuse, Relay, Report
from tidegate.engine.selector import EngineSelector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tidegate.engine.tls_client import ClientTls

# What runs under valgrind (scripts/memcheck) takes its time.
SLOWER = float(os.environ.get("TIDEGATE_SLOWER", "1"))
RELAY = Relay(timeout_ms=60_000, buffer_size=16384)


class Rig:
    """One engine, its loop, and what happened in it."""

    def __init__(self, connections: int) -> None:
        self.counters = memoryview(array.array("Q", [0] * 16))
        self.serial = memoryview(array.array("Q", [0]))
        self.notices: list[int] = []
        self.troubles: list[BaseException] = []
        self.engine = Engine(
            connections=connections,
            counters=self.counters,
            serial=self.serial,
            notice=self.notices.append,
            trouble=self.troubles.append,
        )
        self.sockets: list[socket.socket] = []

    def counter(self, name: str) -> int:
        return self.counters[COUNTERS.index(name)]

    def loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.SelectorEventLoop(EngineSelector(self.engine))
        loop.add_reader(self.engine.wake_fd, self.engine.serve)
        return loop

    def run(self, main: Callable[[], Awaitable[Any]]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(60 * SLOWER):
                result = await main()
                # Transports that were told to close do so in the next turns.
                await until(lambda: len(asyncio.all_tasks()) == 1)
                await asyncio.sleep(0.01)
                return result

        with asyncio.Runner(loop_factory=self.loop) as runner:
            return runner.run(bounded())

    def listen(self, session: Callable[[int], Any], *, shared: bool = False, **options: Any) -> int:
        """Accept for `session` on a free port; gives the port."""
        sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
        sock.setblocking(False)
        self.sockets.append(sock)
        self.engine.listen(sock.fileno(), session, shared=shared, **options)
        return sock.getsockname()[1]

    def close(self) -> None:
        self.engine.close()
        for sock in self.sockets:
            sock.close()


class Forward:
    """A session that goes to the given ports in turn, and keeps its report."""

    def __init__(
        self,
        rig: Rig,
        *ports: int,
        relay: Relay = RELAY,
        timeout_ms: int = 5000,
        first: bytes = b"",
        notify: bool = False,
        hears: bool = False,
        tls: ClientTls | None = None,
    ) -> None:
        self.rig = rig
        self.tls = tls
        self.ports = ports
        self.relay = relay
        self.timeout_ms = timeout_ms
        self.first = first
        self.notify = notify
        self.hears = hears
        self.handles: list[int] = []
        self.reports: list[Report] = []
        self.errors: list[int] = []
        self.connects = 0
        self.answers: list[Report] = []

    def __call__(self, handle: int) -> ForwardSession:
        self.handles.append(handle)
        return ForwardSession(self, handle)

    async def ended(self, count: int = 1) -> list[Report]:
        await until(lambda: len(self.reports) >= count)
        return self.reports


class ForwardSession:
    def __init__(self, owner: Forward, handle: int) -> None:
        self.owner = owner
        self.handle = handle
        self.tried = 0

    def pick(self) -> Outcome:
        owner = self.owner
        if self.tried == len(owner.ports):
            return Refuse(502)
        port = owner.ports[self.tried]
        self.tried += 1
        return Connect(
            pack_address(socket.AF_INET, "127.0.0.1", port),
            relay=owner.relay,
            timeout_ms=owner.timeout_ms,
            first=owner.first,
            notify=owner.notify,
            hears=owner.hears,
            tls=owner.tls,
        )

    def answer(self, error: int, connect_ms: int) -> Outcome:
        assert connect_ms >= 0
        self.owner.errors.append(error)
        return self.pick()

    def connected(self) -> None:
        self.owner.connects += 1

    def answered(self) -> None:
        self.owner.answers.append(self.owner.rig.engine.progress(self.handle))

    def end(self, report: Report) -> None:
        self.owner.reports.append(report)


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds * SLOWER):
        while not condition():
            await asyncio.sleep(0.002)
