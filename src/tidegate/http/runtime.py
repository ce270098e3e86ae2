"""`http {}` in one worker: built from a model beside the running one, then put in its place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from tidegate.config.model import Stream
from tidegate.http.build import Builder
from tidegate.http.gauges import Gauges
from tidegate.http.session import HttpSession
from tidegate.stream.passing import Door, Listening
from tidegate.stream.refusals import Refusals
from tidegate.stream.serving import Serving
from tidegate.stream.session_drop import HTTP, Drop
from tidegate.stream.tls import Contexts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tidegate.balance.placement import Placement
    from tidegate.balance.upstream import Upstream
    from tidegate.config import model
    from tidegate.config.model_http import Http
    from tidegate.engine.loop import Engine
    from tidegate.engine.tls_context import Context
    from tidegate.engine.tls_resume import TicketKeys
    from tidegate.http.server import HttpPort
    from tidegate.scoreboard.board import Board
    from tidegate.scoreboard.cache import Cache
    from tidegate.scoreboard.zone import Zone
    from tidegate.stream.build import Logs


@dataclass(frozen=True, slots=True)
class Prepared:
    """A generation that is ready to accept; `local` is the control process's socket."""

    generation: int
    http: Http | None
    ports: tuple[HttpPort, ...]
    upstreams: Mapping[str, tuple[model.Upstream, Upstream]]
    local: str | None


class HttpRuntime(Serving):
    """The servers of `http {}` that accept now."""

    def __init__(
        self,
        *,
        engine: Engine,
        board: Board,
        worker: int,
        logs: Logs,
        tickets: TicketKeys,
        listening: Listening | None = None,
        left: Callable[[int], None] = lambda _generation: None,
    ) -> None:
        """`tickets` are those of stream, and so is `listening`."""
        super().__init__(engine=engine, board=board, worker=worker, left=left)
        self._logs = logs
        self._tickets = tickets
        self._listening = Listening() if listening is None else listening
        self._refusals = Refusals(board.worker_counters(worker))
        self._gauges = Gauges(
            board.worker_counters(worker),
            [board.worker_counters(slot) for slot in range(board.workers)],
        )
        self._now: Prepared | None = None
        self._contexts: WeakValueDictionary[object, Context] = WeakValueDictionary()
        self._drop: Drop | None = None
        self._drops = False  # whether a tunnel may have to end for its node

    def prepare(
        self,
        http: Http | None,
        placement: Placement,
        zones: Mapping[str, Zone],
        caches: Mapping[str, Cache],
        *,
        generation: int = 1,
        local: str | None = None,
    ) -> Prepared:
        """Build everything that `http` needs; may raise, and changes nothing that runs.

        `zones` has the shared memory of each `limit_conn_zone`, `caches` that of each
        `ssl_session_cache`. Where nothing has changed, what is in force stays.
        """
        if http is None:
            return Prepared(generation, None, (), {}, local)
        now = {} if self._now is None else self._now.upstreams
        upstreams = self._placed(http.upstreams, placement, now)
        ports = self._known(http, upstreams, local)
        if ports is None:
            builder = Builder(
                http,
                engine=self._engine,
                logs=self._logs,
                refusals=self._refusals,
                upstreams=upstreams,
                zones={one.name: (one, zones[one.name]) for one in http.limit_conn_zones},
                contexts=Contexts(self._tickets, caches, self._contexts),
                gauges=self._gauges,
                local=local,
            )
            ports = tuple(builder.ports())
        return Prepared(generation, http, ports, upstreams, local)

    def _known(
        self,
        http: Http,
        upstreams: Mapping[str, tuple[model.Upstream, Upstream]],
        local: str | None,
    ) -> tuple[HttpPort, ...] | None:
        now = self._now
        if now is None or now.http != http or now.local != local:
            return None
        if any(now.upstreams[name][1] is not one for name, (_model, one) in upstreams.items()):
            return None
        return now.ports

    def commit(
        self, prepared: Prepared, sockets: Mapping[str, Sequence[int]], *, shared: bool
    ) -> None:
        """Accept on `sockets` (by address) for the prepared servers, and no more for the former."""
        for _model, upstream in prepared.upstreams.values():
            upstream.group.begin()
        self._accept(
            [(port.address, partial(self._listen, port, shared=shared)) for port in prepared.ports],
            sockets,
        )
        self._listening.put("http", {port.address: _door_of(port) for port in prepared.ports})
        before, self._now = self._now, prepared
        if before is not None:
            self._replace(before.generation, before.upstreams, prepared.upstreams)
            self._retire(before, prepared)
            del before
        self._look()

    def _retire(self, before: Prepared, now: Prepared) -> None:
        """Let clients come anew for their next request, and end tunnels to nodes that are gone."""
        if before.ports is not now.ports:
            for port in before.ports:
                port.stale = True
            self._engine.close_idle()
        if self._drop is not None:
            self._drop.cancel()
            self._drop = None
        self._drops = self._drops or any(
            proxy.session_drop
            for http in (before.http, now.http)
            if http
            for proxy in http.proxies()
        )
        if self._drops:
            upstreams = () if now.http is None else now.http.upstreams
            groups = Stream(upstreams=upstreams, limit_conn_zones=(), servers=())
            self._drop = Drop(self._engine, groups, (), block=HTTP)
            self._drop.begin()

    def _listen(self, port: HttpPort, fd: int, *, shared: bool) -> int:
        session, terms = _door_of(port)
        return self._engine.listen(fd, session, shared=shared, nodelay=port.server.nodelay, **terms)

    def leave(self) -> None:
        """Keep no connection for another request: the worker stops."""
        self._gauges.leaving = True
        self.stop_listening()
        self._engine.close_idle()


def _door_of(port: HttpPort) -> Door:
    """Where the connections of an address begin."""
    return Door(
        partial(HttpSession, port),
        {
            "asks_accept": port.asks_accept,
            "header_timeout_ms": port.server.header_timeout_ms if port.proxy_protocol else 0,
            "preread_size": port.head_limits[1],
            "preread_timeout_ms": port.header_timeout_ms,
            "tls": port.tls,
            "idle_counts": True,
        },
    )
