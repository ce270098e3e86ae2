"""What is known of a configuration while it is read; `build` makes the model of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from tidegate.config.diagnostics import ConfigError
from tidegate.config.model import RoundRobin
from tidegate.config.pem_files import PemFiles
from tidegate.config.scope import Scope
from tidegate.dataclasses import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tidegate.config.build_listen import Options
    from tidegate.config.draft_http import HttpDraft
    from tidegate.config.model import (
        AccessLog,
        AccessRule,
        Assignment,
        ErrorLog,
        LimitConn,
        LimitConnZone,
        Listen,
        LogBuffer,
        LogFormat,
        Method,
        MqttNextUpstream,
        OpenLogFiles,
        Pass,
        Peer,
        Return,
        SetConnect,
        Sticky,
    )
    from tidegate.config.model_names import MovingServer
    from tidegate.config.model_tls import ProxyTls, Tls
    from tidegate.config.parser import Directive
    from tidegate.config.span import Span
    from tidegate.config.urls import Resolve, Url
    from tidegate.config.walk import Handler, Walk
    from tidegate.variables.computed import Definition
    from tidegate.variables.names import Vocabulary
    from tidegate.variables.template import Template
    from tidegate.wire.address import Address
    from tidegate.wire.network import Network


@dataclass(slots=True, kw_only=True)
class UpstreamDraft:
    """A group of peers: one that `upstream {}` makes, or `proxy_pass` alone (`created` False).

    `port` is that of an implicit one, None where `proxy_pass` named no port; `span` and `line`
    are where nginx says it stands. `method_name` is the directive of `method`, "" where none is.
    `scope` is that of its block.
    """

    name: str
    span: Span
    line: int
    created: bool
    url: Url | None = None
    scope: Scope | None = None
    peers: list[Peer] = field(default_factory=list)
    moving: list[MovingServer] = field(default_factory=list)
    method: Method = field(default_factory=RoundRobin)
    method_name: str = ""
    zone: str | None = None
    sticky: Sticky | None = None
    sound: bool = True

    @property
    def port(self) -> int | None:
        """The port that `proxy_pass` gave."""
        return self.url.port if self.url and self.url.ports else None


@dataclass(slots=True, kw_only=True)
class LogsDraft:
    """Logs of one block; an empty list inherits, and a `cache` that was not `cache_set`.

    `buffers` are those of all of stream or http, by path: kept with the outermost block.
    """

    error: list[ErrorLog] = field(default_factory=list)
    access: list[AccessLog] = field(default_factory=list)
    access_off: bool = False
    cache: OpenLogFiles | None = None
    cache_set: bool = False
    buffers: dict[str, LogBuffer] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class RulesDraft:
    """Rules of one block for who is let in; an empty list inherits."""

    access: list[AccessRule] = field(default_factory=list)
    limits: list[tuple[LimitConn, Directive]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class BlockDraft:
    """What blocks have that inherit from the block `around`: stream, http, a server, a location."""

    directive: Directive
    scope: Scope
    around: BlockDraft | None = None
    logs: LogsDraft = field(default_factory=LogsDraft)
    rules: RulesDraft = field(default_factory=RulesDraft)
    real_ip_from: list[Network] = field(default_factory=list)

    def blocks(self) -> Iterator[BlockDraft]:
        """The block itself, and those around it from the inside out."""
        block: BlockDraft | None = self
        while block is not None:
            yield block
            block = block.around

    def access_logs(self) -> list[AccessLog] | None:
        """The access logs that hold here; None where nobody said anything."""
        for block in self.blocks():
            if block.logs.access or block.logs.access_off:
                return [] if block.logs.access_off else block.logs.access
        return None

    def error_logs(self) -> tuple[ErrorLog, ...]:
        """The error logs that hold here, those of the top level apart."""
        return tuple(next((one.logs.error for one in self.blocks() if one.logs.error), ()))

    def access_rules(self) -> tuple[AccessRule, ...]:
        """The `allow` and `deny` that hold here."""
        return tuple(next((one.rules.access for one in self.blocks() if one.rules.access), ()))

    def limits(self) -> list[tuple[LimitConn, Directive]]:
        """The `limit_conn` that hold here."""
        return next((one.rules.limits for one in self.blocks() if one.rules.limits), [])

    def limited_by(self) -> set[str]:
        """The zones that connections are counted in here."""
        return {limit.zone for limit, _where in self.limits()}

    def trusted(self) -> tuple[Network, ...]:
        """The `set_real_ip_from` that hold here."""
        return tuple(next((one.real_ip_from for one in self.blocks() if one.real_ip_from), ()))


@dataclass(slots=True, kw_only=True)
class ServedDraft(BlockDraft):
    """What serves clients: a `server` of stream, a `location` of http.

    `target` has variables, else `upstream` is where `proxy_pass` at `pass_span` leads. `sound` is
    False where something in it was wrong.
    """

    listens: list[Listen] = field(default_factory=list)
    upstream: UpstreamDraft | None = None
    target: Template | None = None
    pass_span: Span | None = None
    set_connect: list[SetConnect] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)
    proxy_tls: ProxyTls | None = None
    sound: bool = True

    @property
    def sees_mqtt(self) -> bool:
        """Whether anything makes it look at a CONNECT."""
        looking = ("mqtt_preread", "mqtt", "mqtt_require", "mqtt_next_upstream")
        return any(self.scope.get(name) for name in looking)

    @property
    def sees_hello(self) -> bool:
        """Whether anything makes it look at a ClientHello that passes."""
        return self.scope.flag("ssl_preread")

    def tree(self) -> Iterator[ServedDraft]:
        """All that serves clients in here."""
        yield self


class Sharer(Protocol):
    """A `server`, which may share its addresses with others; `outside` has its own settings."""

    directive: Directive
    names: list[tuple[str, Span]]
    addresses: list[AddressDraft]

    @property
    def outside(self) -> ServedDraft:
        """What its directives say, those of locations apart."""


@dataclass(slots=True, kw_only=True)
class AddressDraft:
    """An address that servers listen on; `placed` is where its options were written."""

    address: Address
    options: Options
    span: Span
    placed: Span | None
    servers: list[Sharer] = field(default_factory=list)
    default: Sharer | None = None
    protocols: set[str] = field(default_factory=set)

    @property
    def first(self) -> Sharer:
        """The server of clients that name none: the default one."""
        return self.default or self.servers[0]


@dataclass(slots=True, kw_only=True)
class ServerDraft(ServedDraft):
    """One `server` of stream.

    Of `upstream`, `target` and `answer` the one given last is set, as nginx takes the last handler.
    """

    answer: Return | Pass | None = None
    tls: Tls | None = None
    names: list[tuple[str, Span]] = field(default_factory=list)
    addresses: list[AddressDraft] = field(default_factory=list)

    @property
    def outside(self) -> ServerDraft:
        """Itself: it has no locations."""
        return self

    @property
    def sees_hello(self) -> bool:
        """As in others; or it is chosen by one that the default server looks at."""
        firsts = (self, *(known.first.outside for known in self.addresses))
        return any(one.scope.flag("ssl_preread") for one in firsts)


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableUse:
    """A variable in a text of `directive`, and the server, location or upstream it stands in."""

    name: str
    span: Span
    directive: Directive
    server: ServedDraft | None
    upstream: UpstreamDraft | None


@dataclass(slots=True, kw_only=True)
class ProtocolDraft(BlockDraft):
    """All `stream {}` blocks together, or all `http {}`; `vocabulary` are their variables.

    `default_port` is that of brokers which are named without one, 0 where one has to be given.
    `serves` is the directive whose blocks serve clients. `learned` says where each zone and file of
    `sticky learn` was named.
    """

    vocabulary: Vocabulary
    serves: str
    default_port: int = 0
    formats: dict[str, LogFormat] = field(default_factory=dict)
    upstreams: list[UpstreamDraft] = field(default_factory=list)
    by_host: dict[str, list[UpstreamDraft]] = field(default_factory=dict)
    limit_zones: dict[str, LimitConnZone] = field(default_factory=dict)
    variables: list[VariableUse] = field(default_factory=list)
    promised: set[str] = field(default_factory=set)
    retries: list[tuple[MqttNextUpstream, Directive]] = field(default_factory=list)
    definitions: dict[str, Definition] = field(default_factory=dict)
    defined_at: dict[str, Span] = field(default_factory=dict)
    learned: dict[tuple[str, str], Span] = field(default_factory=dict)

    def groups(self, host: str) -> list[UpstreamDraft]:
        """The groups of a name, or a host in `proxy_pass`; nginx compares in small letters."""
        return self.by_host.get(host.lower(), [])

    def add(self, group: UpstreamDraft) -> UpstreamDraft:
        """Keep a new group."""
        self.upstreams.append(group)
        host = group.url.host if group.url else group.name
        self.by_host.setdefault(host.lower(), []).append(group)
        return group

    def served(self) -> Sequence[ServedDraft]:
        """All that serves clients."""
        raise NotImplementedError


@dataclass(slots=True, kw_only=True)
class StreamDraft(ProtocolDraft):
    """All `stream {}` blocks together."""

    servers: list[ServerDraft] = field(default_factory=list)
    addresses: dict[Address, AddressDraft] = field(default_factory=dict)

    def served(self) -> Sequence[ServedDraft]:
        """All servers."""
        return self.servers


@dataclass(slots=True, kw_only=True)
class Draft:
    """Everything read so far."""

    prefix: str
    resolve: Resolve
    folder: str = ""
    last_stream: Directive | None = None
    last_http: Directive | None = None
    main: Scope = field(default_factory=lambda: Scope("main"))
    events: Scope | None = None
    stream: StreamDraft | None = None
    http: HttpDraft | None = None
    protocol: ProtocolDraft | None = None
    server: ServedDraft | None = None
    upstream: UpstreamDraft | None = None
    zones: dict[str, int] = field(default_factory=dict)
    zone_uses: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    group: str | None = None
    error_logs: list[ErrorLog] = field(default_factory=list)
    env: list[tuple[str, str | None]] = field(default_factory=list)
    warned: set[Span | str] = field(default_factory=set)
    pem_files: PemFiles = field(init=False)

    def __post_init__(self) -> None:
        self.pem_files = PemFiles(self.conf_path)

    def conf_path(self, name: str) -> str:
        """A file name that is looked up beside the configuration, as those of TLS are."""
        return os.path.join(self.folder or self.prefix, name)

    def path(self, name: str) -> str:
        """A file name of the configuration as an absolute path."""
        return os.path.join(self.prefix, name)


if TYPE_CHECKING:
    Reading = Walk[Draft]
    DraftHandler = Handler[Draft]


def in_stream(reading: Reading) -> StreamDraft:
    """The stream that is being read."""
    assert reading.draft.stream is not None
    return reading.draft.stream


def in_protocol(reading: Reading) -> ProtocolDraft:
    """The stream or http that is being read."""
    assert reading.draft.protocol is not None
    return reading.draft.protocol


def in_served(reading: Reading) -> ServedDraft:
    """The server of stream, or location of http, that is being read."""
    assert reading.draft.server is not None
    return reading.draft.server


def in_server(reading: Reading) -> ServerDraft:
    """The server of stream that is being read."""
    server = in_served(reading)
    assert isinstance(server, ServerDraft)
    return server


def block_here(reading: Reading) -> BlockDraft:
    """The block that is being read."""
    return reading.draft.server or in_protocol(reading)


def refused(what: str, *, reason: str) -> ConfigError:
    """The error for a part of a directive that nginx takes and tidegate does not yet."""
    return ConfigError(f"{what} is not supported yet", hint=reason)
