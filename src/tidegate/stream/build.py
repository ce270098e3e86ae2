"""From a `server` of the model to one that sessions can use: everything compiled, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tidegate.balance.ip_hash import key_of
from tidegate.balance.times import FIRST_BYTE
from tidegate.config import model
from tidegate.config.model import Level
from tidegate.stream.access import compile_rules
from tidegate.stream.limit_conn import Limit, Limits
from tidegate.stream.mqtt_rules import MqttRules, Setting
from tidegate.stream.mqtt_variables import OF_CONNACK
from tidegate.stream.passing import Passing
from tidegate.stream.proxy import Proxy
from tidegate.stream.route import Route
from tidegate.stream.server import Server
from tidegate.stream.source import Sources
from tidegate.stream.sticky import Living, Sticky
from tidegate.stream.variables import OF_THE_SOCKET, Getters, with_computed
from tidegate.variables.computed import needed
from tidegate.variables.names import PREREAD_TLS, of_mqtt
from tidegate.variables.template import DIGITS, Template, compile_template, names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tidegate.balance.single import Single
    from tidegate.balance.upstream import Upstream
    from tidegate.engine.loop import Engine
    from tidegate.scoreboard.zone import Zone
    from tidegate.stream.passing import Listening
    from tidegate.stream.refusals import Refusals
    from tidegate.stream.server import ErrorLog
    from tidegate.stream.session import Session
    from tidegate.stream.tls import Contexts
    from tidegate.variables.computed import Definition


class Logs(Protocol):
    """Who makes logs out of a model's; the process gives one that writes to open files."""

    def error_log(self, logs: tuple[model.ErrorLog, ...]) -> ErrorLog:
        """The error log of a context."""

    def access_log(
        self, log: model.AccessLog, getters: Mapping[str, Callable[[Session], str | None]]
    ) -> Callable[[Session], None]:
        """A function that writes a session's line."""


class Builder:
    """Builds the servers of one configuration; `upstreams` and `zones` are those that they name.

    `living` has the tables of `sticky learn`, by zone.

    `tlvs` are the types of TLVs of PROXY headers that their variables tell of.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        logs: Logs,
        refusals: Refusals,
        upstreams: Mapping[str, tuple[model.Upstream, Upstream]],
        variables: Mapping[str, Definition],
        zones: Mapping[str, tuple[model.LimitConnZone, Zone]],
        contexts: Contexts,
        living: Mapping[str, Living],
        listening: Listening,
        tlvs: frozenset[int] = frozenset(),
    ) -> None:
        self._engine = engine
        self._logs = logs
        self._refusals = refusals
        self._upstreams = upstreams
        self._variables = variables
        self._contexts = contexts
        self._listening = listening
        self._tlvs = tlvs
        self._getters = with_computed(variables)
        self._zones = zones
        self._living = living
        self._stickies: dict[str, Sticky] = {}

    def server(self, server: model.Server, *, asks_name: bool = False) -> Server:
        """The server, ready for sessions; with `asks_name` its clients may be for others."""
        error_log = self._logs.error_log(server.error_logs)
        getters = self._getters
        logged: set[str] = set()
        for log in server.access_logs:
            for read in (log.format.template, log.name, log.condition):
                logged |= names(read) if read is not None else set()
        # A session that is refused early does each `set` only when its line asks.
        late = self._needed(server, logged)
        logged = needed(logged, self._variables)
        return Server(
            engine=self._engine,
            limits=self._limits(server),
            denies=compile_rules(server.access),
            nodelay=server.tcp_nodelay,
            mqtt=None if server.mqtt is None else self._rules(server, server.mqtt, logged, late),
            refusals=self._refusals,
            # The engine's 0 is no header; nginx's is one that must be there at once.
            header_timeout_ms=server.proxy_protocol_timeout_ms or 1,
            real_ip_from=server.real_ip_from,
            preread_size=_preread_size(server),
            preread_timeout_ms=server.preread_timeout_ms,
            proxy=self._proxy(server, error_log),
            route=self._route(server, error_log),
            ssl_preread=server.ssl_preread,
            keeps_hello=bool(late & PREREAD_TLS.keys()),
            text=_text(server.content, getters),
            error_log=error_log,
            access_logs=tuple(self._logs.access_log(log, getters) for log in server.access_logs),
            keeps_address=bool(late & OF_THE_SOCKET),
            tls=self._contexts.of(server, asks_rules=asks_name),
            pairs=self._contexts.pairs(server, getters),
            passing=self._passing(server.content),
            assignments=tuple(
                (one.name, compile_template(one.value, getters)) for one in server.assignments
            ),
            logged=frozenset(logged & {*self._variables, *DIGITS}),
            tlvs=self._tlvs,
        )

    def _passing(self, content: model.Proxy | model.Return | model.Pass) -> Passing | None:
        if not isinstance(content, model.Pass):
            return None
        to = content.to
        if isinstance(to, Template):
            return Passing(compile_template(to, self._getters), self._listening)
        return Passing(to, self._listening)

    def _limits(self, server: model.Server) -> Limits | None:
        if server.limit_conns is None:
            return None
        early: list[Limit] = []
        late: list[Limit] = []
        for one in server.limit_conns.limits:
            described, zone = self._zones[one.zone]
            limit = Limit(
                zone,
                one.zone,
                compile_template(described.key, self._getters),
                str(described.key),
                one.most,
            )
            (late if self._waits(server, described.key) else early).append(limit)
        return Limits(
            early=early,
            late=late,
            level=server.limit_conns.log_level,
            dry_run=server.limit_conns.dry_run,
        )

    def _waits(self, server: model.Server, key: Template) -> bool:
        """Whether a key can be made only after the handshake, or when the CONNECT was read."""
        tells_tls = any(listen.ssl for listen in server.listens)
        return self._waits_for_mqtt(server, key) or any(
            tells_tls and name.startswith("ssl_") for name in self._needed(server, names(key))
        )

    def _waits_for_mqtt(self, server: model.Server, key: Template) -> bool:
        return server.mqtt is not None and any(map(of_mqtt, self._needed(server, names(key))))

    def _needed(self, server: model.Server, wanted: set[str]) -> set[str]:
        """All variables that sessions of a server may read for the wanted ones."""
        found = needed(wanted, self._variables)
        if not found.isdisjoint({*self._variables, *DIGITS}):
            # To ask for a computed variable begins with every `set` of the server.
            for one in server.assignments:
                found |= needed(names(one.value), self._variables)
        return found

    def _rules(
        self, server: model.Server, mqtt: model.Mqtt, logged: set[str], late: set[str]
    ) -> MqttRules:
        return MqttRules(
            mqtt,
            settings=tuple(
                Setting(one.field, compile_template(one.value, self._getters), one.keep_if_empty)
                for one in mqtt.set_connect
            ),
            kept=tuple(sorted(filter(of_mqtt, logged))),
            kept_without=tuple(sorted(filter(of_mqtt, late))),
            reads_connack=bool(logged & OF_CONNACK.keys())
            or self._learns(server)
            or self._times_connacks(server),
            limited=self._refuses_by_mqtt(server),
        )

    def _times_connacks(self, server: model.Server) -> bool:
        """Whether nodes may be chosen by the time of their CONNACK; only a good one counts."""
        to = server.content.upstream if isinstance(server.content, model.Proxy) else ""
        known = self._upstreams
        named = [known[to]] if isinstance(to, str) and to in known else known.values()
        found = [upstream.times for _described, upstream in named]
        return any(times is not None and times.by == FIRST_BYTE for times in found)

    def _refuses_by_mqtt(self, server: model.Server) -> bool:
        """Whether a client may be over a limit for what is in its CONNECT."""
        limits = server.limit_conns
        if limits is None or limits.dry_run:
            return False
        keys = [self._zones[one.zone][0].key for one in limits.limits]
        return any(self._waits_for_mqtt(server, key) for key in keys)

    def _learns(self, server: model.Server) -> bool:
        """Whether what a node answers decides if it is remembered."""
        to = server.content.upstream if isinstance(server.content, model.Proxy) else None
        if isinstance(to, str):
            return self._upstreams[to][0].sticky is not None
        return to is not None and any(one.sticky for one, _upstream in self._upstreams.values())

    def _sticky(self, upstream: model.Upstream) -> Sticky | None:
        """The table of an upstream, which all servers that pass to it have in common."""
        if upstream.sticky is None:
            return None
        if upstream.name not in self._stickies:
            self._stickies[upstream.name] = Sticky(
                upstream.sticky,
                self._living[upstream.sticky.zone],
                upstream.peers,
                lookup=self._texts(upstream.sticky.lookup),
                create=self._texts(upstream.sticky.create),
            )
        return self._stickies[upstream.name]

    def _texts(self, templates: tuple[Template, ...]) -> tuple[Callable[[Session], str], ...]:
        return tuple(compile_template(one, self._getters) for one in templates)

    def _proxy(self, server: model.Server, error_log: ErrorLog) -> Proxy | None:
        content = server.content
        if not isinstance(content, model.Proxy) or not isinstance(content.upstream, str):
            return None
        return self._way(server, content, error_log, content.upstream)

    def _route(self, server: model.Server, error_log: ErrorLog) -> Route | None:
        content = server.content
        if not isinstance(content, model.Proxy) or isinstance(content.upstream, str):
            return None
        return Route(
            compile_template(content.upstream, self._getters),
            self._upstreams,
            lambda target: self._way(server, content, error_log, target),
        )

    def _way(
        self, server: model.Server, content: model.Proxy, error_log: ErrorLog, to: str | Single
    ) -> Proxy:
        """A way to the upstream of that name, or to an address."""
        upstream: Upstream | Single
        if isinstance(to, str):
            described, upstream = self._upstreams[to]
            key = key_of_method(described.method, self._getters)
            sticky = self._sticky(described)
        else:
            upstream, key, sticky = to, None, None
        return Proxy(
            content,
            upstream,
            nodelay=server.tcp_nodelay,
            sources=sources_of(content.bind, upstream.peers, self._getters),
            key=key,
            notify=error_log.enabled(Level.INFO),
            tls=self._contexts.to_upstream(
                content, upstream.name, len(upstream.peers), self._getters
            ),
            sticky=sticky,
        )


def _text(
    content: model.Proxy | model.Return | model.Pass, getters: Getters
) -> Callable[[Session], str]:
    """What a server without a proxy answers."""
    value = content.value if isinstance(content, model.Return) else Template(())
    return compile_template(value, getters)


def _preread_size(server: model.Server) -> int:
    """Bytes that may be read before the choice; 0 where nobody looks at them."""
    if server.mqtt is not None:
        return max(server.preread_buffer_size, server.mqtt.buffer_size)
    return server.preread_buffer_size if server.ssl_preread else 0


def sources_of(
    bind: model.Bind | None,
    peers: Sequence[model.Peer],
    getters: Mapping[str, Callable[[Any], str | None]],
) -> Sources | None:
    """`proxy_bind`, ready for the peers of an upstream; None where there is none."""
    if bind is None:
        return None
    return Sources(bind, peers, lambda text: compile_template(text, getters))


def key_of_method(
    method: model.Method, getters: Mapping[str, Callable[[Any], str | None]]
) -> Callable[[Session], bytes] | None:
    """What the method chooses by; None where it needs nothing of the session."""
    if isinstance(method, model.IpHash):
        return lambda session: key_of(*session.client_endpoint[:2])
    if not isinstance(method, model.Hash):
        return None
    text = compile_template(method.key, getters)
    return lambda session: text(session).encode("utf-8", "surrogateescape")
