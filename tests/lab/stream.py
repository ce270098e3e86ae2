"""`stream {}` in this process: a configuration text over a real engine and scoreboard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lab.engine import Rig
from tidegate.balance.placement import allot
from tidegate.config.load import load
from tidegate.config.model_tls import session_caches
from tidegate.observe.access_log import compile_line
from tidegate.scoreboard.board import Board
from tidegate.scoreboard.cache import Cache
from tidegate.scoreboard.learned import Learned
from tidegate.scoreboard.zone import Zone
from tidegate.stream.runtime import Runtime

if TYPE_CHECKING:
    from tidegate.config.model import ErrorLog, Level


class Lines:
    """An error log, and the access logs, that keep what is written."""

    def __init__(self, threshold: Level) -> None:
        self.threshold = threshold
        self.errors: list[tuple[str, str]] = []
        self.access: list[str] = []

    def enabled(self, level):
        return level >= self.threshold

    def write(self, level, message, *, connection=None):
        if self.enabled(level):
            about = "" if connection is None else f"*{connection} "
            self.errors.append((level.name.lower(), about + message))

    def error_log(self, logs: tuple[ErrorLog, ...]):
        assert logs
        return self

    def access_log(self, log, getters):
        line = compile_line(log.format, getters)
        return lambda session: self.access.append(line(session))


class StreamRig(Rig):
    """A rig whose sessions are those of the servers in `text`."""

    def __init__(self, text: str, folder, *, level: Level, connections: int = 10_000) -> None:
        super().__init__(connections)
        path = folder / "tidegate.conf"
        path.write_text(f"events {{}} stream {{ {text} }}")
        loaded = load(str(path), prefix=str(folder))
        assert loaded.model is not None, loaded.problems
        assert loaded.model.stream is not None
        self.lines = Lines(level)
        self.board = Board.create(workers=1, upstreams=8, peers=32)
        placement = self.placement = allot(loaded.model, self.board, None)
        self.runtime = Runtime(engine=self.engine, board=self.board, worker=0, logs=self.lines)
        stream = loaded.model.stream
        self.zones = {one.name: Zone.create(one.size) for one in stream.limit_conn_zones}
        attached = {name: Zone.attach(zone.fd, worker=0) for name, zone in self.zones.items()}
        self.caches = {name: Cache.create(size) for name, size in session_caches(stream)}
        wanted = [one.sticky for one in stream.upstreams if one.sticky is not None]
        self.tables = {one.zone: Learned.create(one.size) for one in wanted}
        self.prepared = self.runtime.prepare(
            stream, placement, attached, self.caches, tables=self.tables
        )

    def serve(self, sock) -> None:
        """Accept on `sock` for the first server."""
        sock.setblocking(False)
        sockets = {address: [] for address, _ in self.prepared.ports}
        sockets[self.prepared.ports[0][0]] = [sock.fileno()]
        self.runtime.commit(self.prepared, sockets, shared=False)

    def run(self, main):
        async def bounded():
            try:
                return await main()
            finally:
                await asyncio.sleep(0.01)

        return super().run(bounded)
