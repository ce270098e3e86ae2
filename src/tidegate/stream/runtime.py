"""`stream {}` in one worker: built from a model beside the running one, then put in its place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tidegate.balance.upstream import place
from tidegate.stream.build import Builder, Logs
from tidegate.stream.mqtt_session import MqttSession
from tidegate.stream.refusals import Refusals
from tidegate.stream.server import Port
from tidegate.stream.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidegate.balance.placement import Placement
    from tidegate.config import model
    from tidegate.engine.loop import Engine
    from tidegate.scoreboard.board import Board
    from tidegate.scoreboard.zone import Zone


@dataclass(frozen=True, slots=True)
class Prepared:
    """Servers that are ready to accept: what the engine is to call for each listening address."""

    ports: tuple[tuple[str, Port], ...]


class Runtime:
    """The servers of `stream {}` that accept now."""

    def __init__(self, *, engine: Engine, board: Board, worker: int, logs: Logs) -> None:
        self._engine = engine
        self._board = board
        self._worker = worker
        self._logs = logs
        self._refusals = Refusals(board.worker_counters(worker))
        self._listeners: list[int] = []

    def prepare(
        self, stream: model.Stream, placement: Placement, zones: Mapping[str, Zone]
    ) -> Prepared:
        """Build everything that `stream` needs; may raise, and changes nothing that runs.

        `zones` has the shared memory of each `limit_conn_zone`, attached for this worker.
        """
        builder = Builder(
            engine=self._engine,
            logs=self._logs,
            refusals=self._refusals,
            upstreams={
                one.name: (
                    one,
                    place(one, placement=placement, board=self._board, worker=self._worker),
                )
                for one in stream.upstreams
            },
            variables=dict(stream.variables),
            zones={one.name: (one, zones[one.name]) for one in stream.limit_conn_zones},
        )
        ports = []
        for one in stream.servers:
            server = builder.server(one)
            ports += [
                (listen.address.text, Port(server, listen.address.text)) for listen in one.listens
            ]
        return Prepared(tuple(ports))

    def commit(self, prepared: Prepared, sockets: Mapping[str, int], *, shared: bool) -> None:
        """Accept on `sockets` (by address) for the prepared servers, and no more for the former."""
        former = self._listeners
        self._listeners = [
            self._listen(sockets[address], port, shared=shared) for address, port in prepared.ports
        ]
        for listener in former:
            self._engine.unlisten(listener)

    def _listen(self, fd: int, port: Port, *, shared: bool) -> int:
        server = port.server
        return self._engine.listen(
            fd,
            partial(Session if server.mqtt is None else MqttSession, port),
            shared=shared,
            nodelay=server.nodelay,
            preread_size=server.preread_size,
            preread_timeout_ms=server.preread_timeout_ms,
        )

    def stop_listening(self) -> None:
        """Accept no more; sessions go on."""
        for listener in self._listeners:
            self._engine.unlisten(listener)
        self._listeners = []

    def close_sessions(self) -> None:
        """End every session now; each gets its line in the logs."""
        self._engine.close_sessions()

    def active(self) -> int:
        """Sessions that have not ended."""
        return self._engine.active
