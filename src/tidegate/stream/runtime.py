"""`stream {}` in one worker: built from a model beside the running one, then put in its place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tidegate.balance.upstream import Upstream, place
from tidegate.config.model import Level
from tidegate.config.model import Proxy as ProxyModel
from tidegate.stream.proxy import Proxy
from tidegate.stream.server import Port, Server
from tidegate.stream.session import Session
from tidegate.stream.variables import GETTERS, OF_THE_SOCKET
from tidegate.variables.template import Template, Variable, compile_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidegate.balance.placement import Placement
    from tidegate.config import model
    from tidegate.engine.loop import Engine
    from tidegate.scoreboard.board import Board
    from tidegate.stream.server import ErrorLog


class Logs(Protocol):
    """Who makes logs out of a model's; the process gives one that writes to open files."""

    def error_log(self, logs: tuple[model.ErrorLog, ...]) -> ErrorLog:
        """The error log of a context."""

    def access_log(
        self, log: model.AccessLog, getters: Mapping[str, Callable[[Session], str | None]]
    ) -> Callable[[Session], None]:
        """A function that writes a session's line."""


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
        self._listeners: list[int] = []

    def prepare(self, stream: model.Stream, placement: Placement) -> Prepared:
        """Build everything that `stream` needs; may raise, and changes nothing that runs."""
        upstreams = {
            upstream.name: place(
                upstream, placement=placement, board=self._board, worker=self._worker
            )
            for upstream in stream.upstreams
        }
        ports = []
        for one in stream.servers:
            server = self._server(one, upstreams)
            ports += [
                (listen.address.text, Port(server, listen.address.text)) for listen in one.listens
            ]
        return Prepared(tuple(ports))

    def commit(self, prepared: Prepared, sockets: Mapping[str, int], *, shared: bool) -> None:
        """Accept on `sockets` (by address) for the prepared servers, and no more for the former."""
        former = self._listeners
        self._listeners = [
            self._engine.listen(
                sockets[address],
                partial(Session, port),
                shared=shared,
                nodelay=port.server.nodelay,
            )
            for address, port in prepared.ports
        ]
        for listener in former:
            self._engine.unlisten(listener)

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

    def _server(self, server: model.Server, upstreams: Mapping[str, Upstream]) -> Server:
        error_log = self._logs.error_log(server.error_logs)
        return Server(
            engine=self._engine,
            nodelay=server.tcp_nodelay,
            content=self._content(server, upstreams, error_log),
            error_log=error_log,
            access_logs=tuple(self._logs.access_log(log, GETTERS) for log in server.access_logs),
            keeps_address=any(
                names(log.format.template) & OF_THE_SOCKET for log in server.access_logs
            ),
        )

    def _content(
        self, server: model.Server, upstreams: Mapping[str, Upstream], error_log: ErrorLog
    ) -> Proxy | Callable[[Session], str]:
        content = server.content
        if not isinstance(content, ProxyModel):
            return compile_template(content.value, GETTERS)
        return Proxy(
            content,
            upstreams[content.upstream],
            nodelay=server.tcp_nodelay,
            bind=None if content.bind is None else compile_template(content.bind, GETTERS),
            notify=error_log.enabled(Level.INFO),
        )


def names(template: Template) -> set[str]:
    """The variables that a template reads."""
    return {part.name for part in template.parts if isinstance(part, Variable)}
