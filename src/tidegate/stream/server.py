"""A `server` of `stream {}` in a worker: what its sessions share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tidegate.config.model import Level

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.config.model import Listen
    from tidegate.engine.loop import Engine
    from tidegate.engine.tls_context import Context
    from tidegate.stream.limit_conn import Limits
    from tidegate.stream.mqtt_rules import MqttRules
    from tidegate.stream.passing import Passing
    from tidegate.stream.proxy import Proxy
    from tidegate.stream.refusals import Refusals
    from tidegate.stream.route import Route
    from tidegate.stream.session import Session
    from tidegate.stream.tls_pairs import PairFiles
    from tidegate.variables.server_names import Names
    from tidegate.wire.network import Network
    from tidegate.wire.proxy_protocol import Endpoint


class ErrorLog(Protocol):
    """What a session needs of an error log."""

    def enabled(self, level: Level) -> bool:
        """Whether a line of this level goes anywhere."""

    def write(self, level: Level, message: str, *, connection: int | None = None) -> None:
        """One line."""


class Server:
    """Everything of a `server` that its sessions use, ready made.

    It has a `proxy`, or a `route` to find one by, or is `passing` what comes to another server, or
    answers with `text`. `tells_all` is for the
    lines of each session that the error log takes at level info only. `assignments` are its `set`;
    `logged` are the computed variables that its access logs may ask for. With `has_rules` sessions
    have an accept phase: there are `limits`, or access rules that say whom the server `denies`.
    A PROXY header has `header_timeout_ms` to come, and is believed from one of `real_ip_from`; of
    its TLVs those of the types `tlvs` are kept.
    """

    __slots__ = (
        "access_logs",
        "assignments",
        "denies",
        "engine",
        "error_log",
        "has_rules",
        "header_timeout_ms",
        "keeps_address",
        "keeps_hello",
        "limits",
        "logged",
        "mqtt",
        "nodelay",
        "pairs",
        "passing",
        "preread_size",
        "preread_timeout_ms",
        "proxy",
        "real_ip_from",
        "refusals",
        "route",
        "ssl_preread",
        "tells_all",
        "text",
        "tls",
        "tlvs",
    )

    def __init__(
        self,
        *,
        engine: Engine,
        limits: Limits | None,
        denies: Callable[[Endpoint], bool] | None,
        nodelay: bool,
        mqtt: MqttRules | None,
        refusals: Refusals,
        header_timeout_ms: int,
        real_ip_from: tuple[Network, ...],
        preread_size: int,
        preread_timeout_ms: int,
        proxy: Proxy | None,
        text: Callable[[Session], str],
        error_log: ErrorLog,
        access_logs: tuple[Callable[[Session], None], ...],
        keeps_address: bool,
        route: Route | None = None,
        ssl_preread: bool = False,
        keeps_hello: bool = False,
        tls: Context | None = None,
        pairs: PairFiles | None = None,
        passing: Passing | None = None,
        assignments: tuple[tuple[str, Callable[[Session], str]], ...] = (),
        logged: frozenset[str] = frozenset(),
        tlvs: frozenset[int] = frozenset(),
    ) -> None:
        self.engine = engine
        self.limits = limits
        self.denies = denies
        self.has_rules = limits is not None or denies is not None
        self.nodelay = nodelay
        self.mqtt = mqtt
        self.refusals = refusals
        self.header_timeout_ms = header_timeout_ms
        self.real_ip_from = real_ip_from
        self.preread_size = preread_size
        self.preread_timeout_ms = preread_timeout_ms
        self.proxy = proxy
        self.text = text
        self.error_log = error_log
        self.tells_all = error_log.enabled(Level.INFO)
        self.access_logs = access_logs
        self.keeps_address = keeps_address
        self.route = route
        self.ssl_preread = ssl_preread
        self.keeps_hello = keeps_hello
        self.tls = tls
        self.pairs = pairs
        self.passing = passing
        self.assignments = assignments
        self.logged = logged
        self.tlvs = tlvs


class Port:
    """One `listen` of a server; `address` is its text in logs, `tls` its `ssl`.

    With `proxy_protocol` a PROXY header comes first. `asks_accept` tells that its sessions have an
    accept phase: something to do before anything of the client is read. `session` makes them, of
    the given `kind`.

    Where servers share an address, its clients come to the port of the default one. `names` leads
    from there to the ports of all of them; these have none. One that `judges` has rules for clients
    that the default one let in.
    """

    __slots__ = (
        "address",
        "asks_accept",
        "judges",
        "kind",
        "names",
        "pairs",
        "proxy_protocol",
        "server",
        "tls",
    )

    def __init__(
        self, server: Server, listen: Listen, kind: type[Session], *, default: Port | None = None
    ) -> None:
        """`default` is the port of the server that clients come to first, where that is another."""
        self.server = server
        self.address = listen.address.text
        self.kind = kind
        self.names: Names[Port] | None = None
        self.proxy_protocol = listen.proxy_protocol
        self.tls = server.tls if listen.ssl else None
        self.pairs = server.pairs
        self.judges = default is not None and server.has_rules
        # At level info a client is told of before its handshake, which may fail.
        tells_all = self.tls is not None and server.tells_all
        self.asks_accept = listen.proxy_protocol or server.has_rules or tells_all
        if default is not None:
            self.asks_accept = default.asks_accept  # it is behind them

    def session(self, handle: int) -> Session:
        """The Python half of a connection."""
        return self.kind(self, handle)
