"""`stream {}` in one worker: built from a model beside the running one, then put in its place."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from tidegate.dataclasses import dataclass, replace
from tidegate.engine.tls_resume import TicketKeys
from tidegate.stream.build import Builder, Logs
from tidegate.stream.passing import Listening
from tidegate.stream.ports import asks_name, door_of, ports_of, shared_addresses
from tidegate.stream.refusals import Refusals
from tidegate.stream.serving import Serving
from tidegate.stream.session_drop import Drop, drops
from tidegate.stream.sticky import Living
from tidegate.stream.tls import Contexts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tidegate.balance.placement import Placement
    from tidegate.balance.upstream import Upstream
    from tidegate.config import model
    from tidegate.config.span import Span
    from tidegate.engine.loop import Engine
    from tidegate.engine.tls_context import Context
    from tidegate.scoreboard.board import Board
    from tidegate.scoreboard.cache import Cache
    from tidegate.scoreboard.learned import Learned
    from tidegate.scoreboard.zone import Zone
    from tidegate.stream.server import Port, Server

NO_TABLES: Mapping[str, Learned] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A generation that is ready to accept: what the engine is to call for each address.

    `servers` and `upstreams` are what it was built of, each beside its model, by place and by name.
    `tables` are those of `sticky learn`, each beside what uses it, by zone.
    """

    generation: int
    stream: model.Stream
    ports: tuple[tuple[str, Port], ...]
    servers: Mapping[Span, tuple[model.Server, Server]]
    upstreams: Mapping[str, tuple[model.Upstream, Upstream]]
    tables: Mapping[str, tuple[Living, Learned, int]]


class Runtime(Serving):
    """The servers of `stream {}` that accept now."""

    def __init__(
        self,
        *,
        engine: Engine,
        board: Board,
        worker: int,
        logs: Logs,
        left: Callable[[int], None] = lambda _generation: None,
    ) -> None:
        super().__init__(engine=engine, board=board, worker=worker, left=left)
        self._logs = logs
        self._refusals = Refusals(board.worker_counters(worker))
        self._now: Prepared | None = None
        # By zone, as long as anybody has one: sessions of former configurations go on.
        self._living: WeakValueDictionary[str, Living] = WeakValueDictionary()
        self._contexts: WeakValueDictionary[object, Context] = WeakValueDictionary()
        self._drop: Drop | None = None
        self._drops = False  # whether a session may have to end for its node
        self.listening = Listening()  # of http, too
        self.tickets = TicketKeys()  # to be set before the first `prepare`, and changed at will

    def prepare(
        self,
        stream: model.Stream,
        placement: Placement,
        zones: Mapping[str, Zone],
        caches: Mapping[str, Cache],
        *,
        tables: Mapping[str, Learned] = NO_TABLES,
        generation: int = 1,
    ) -> Prepared:
        """Build everything that `stream` needs; may raise, and changes nothing that runs.

        `zones` has the shared memory of each `limit_conn_zone`, attached for this worker, `caches`
        that of each `ssl_session_cache`, `tables` that of each `sticky learn`. What is equal in the
        configuration in force is taken from there: so sessions that run for months over many
        reloads do not keep a copy of it for each.
        """
        now = {} if self._now is None else self._now.upstreams
        upstreams = self._placed(stream.upstreams, placement, now)
        learned = dict(self._learned(stream, tables))
        builder = Builder(
            engine=self._engine,
            logs=self._logs,
            refusals=self._refusals,
            upstreams=upstreams,
            variables=dict(stream.variables),
            zones={one.name: (one, zones[one.name]) for one in stream.limit_conn_zones},
            contexts=Contexts(self.tickets, caches, self._contexts),
            living={zone: living for zone, (living, *_) in learned.items()},
            listening=self.listening,
            tlvs=stream.tlvs,
        )
        shared = shared_addresses(stream)
        servers = {}
        for one in stream.servers:
            known = self._known_server(one, stream, upstreams, shared)
            if known is None:
                known = builder.server(one, asks_name=asks_name(one, shared))
            servers[one.span] = (one, known)
        return Prepared(generation, stream, ports_of(servers.values()), servers, upstreams, learned)

    def _learned(
        self, stream: model.Stream, tables: Mapping[str, Learned]
    ) -> Iterator[tuple[str, tuple[Living, Learned, int]]]:
        """What uses the table of each zone; where sessions have one already, it is theirs."""
        for one in stream.upstreams:
            if one.sticky is not None:
                zone, timeout = one.sticky.zone, one.sticky.timeout
                table = tables[zone]
                yield zone, (self._living.get(zone) or Living(table, timeout), table, timeout)

    def _known_server(
        self,
        one: model.Server,
        stream: model.Stream,
        upstreams: Mapping[str, tuple[model.Upstream, Upstream]],
        shared: frozenset[str],
    ) -> Server | None:
        """The server in force that is just like this one, and so are all things that it names."""
        now = self._now
        if now is None or _around(now.stream) != _around(stream):
            return None
        model_now, server = now.servers.get(one.span, (None, None))
        if server is None or model_now != one:
            return None
        if asks_name(one, shared_addresses(now.stream)) != asks_name(one, shared):
            return None
        proxy = server.proxy
        if proxy is not None and upstreams[proxy.upstream.name][1] is not proxy.upstream:
            return None
        if server.route is not None and server.route.upstreams != {
            name: upstream for name, (_described, upstream) in upstreams.items()
        }:
            return None
        return server

    def commit(
        self, prepared: Prepared, sockets: Mapping[str, Sequence[int]], *, shared: bool
    ) -> None:
        """Accept on `sockets` (by address) for the prepared servers, and no more for the former."""
        for _model, upstream in prepared.upstreams.values():
            upstream.group.begin()
        for zone, (living, table, timeout) in prepared.tables.items():
            self._living[zone] = living
            living.change(table, timeout)
        self._accept(
            [
                (address, partial(self._listen, port, shared=shared))
                for address, port in prepared.ports
            ],
            sockets,
        )
        self.listening.put("stream", {text: door_of(port) for text, port in prepared.ports})
        before, self._now = self._now, prepared
        if before is not None:
            self._replace(before.generation, before.upstreams, prepared.upstreams)
            del before
            self._drop_sessions(prepared)
        self._look()

    def _drop_sessions(self, prepared: Prepared) -> None:
        """End the sessions that `proxy_session_drop` is about."""
        self._drops = self._drops or any(map(drops, prepared.stream.servers))
        if self._drop is not None:
            self._drop.cancel()
            self._drop = None
        if self._drops:
            servers = [server for _model, server in prepared.servers.values()]
            self._drop = Drop(self._engine, prepared.stream, servers)
            self._drop.begin()

    def _listen(self, port: Port, fd: int, *, shared: bool) -> int:
        session, terms = door_of(port)
        return self._engine.listen(fd, session, shared=shared, nodelay=port.server.nodelay, **terms)

    def close_sessions(self) -> None:
        """End every session now; each gets its line in the logs."""
        self._engine.close_sessions()

    def active(self) -> int:
        """Sessions that have not ended."""
        return self._engine.active


def _around(stream: model.Stream) -> model.Stream:
    """What a stream says beside its servers and upstreams, which any of them may use."""
    return replace(stream, servers=(), upstreams=())
