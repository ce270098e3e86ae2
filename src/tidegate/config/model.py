"""What a configuration means: frozen data that the rest of the program reads.

Nothing downstream of this module sees a directive. A reload makes a new `Model` and swaps it.
Sizes are bytes, durations whole milliseconds (`_ms`), rates bytes per second. The defaults are
nginx's and stand in `config.grammar`; here every field is given.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from tidegate.dataclasses import dataclass

if TYPE_CHECKING:
    from tidegate.config.model_http import Http
    from tidegate.config.model_names import MovingServer
    from tidegate.config.model_tls import ProxyTls, Tls
    from tidegate.config.span import Span
    from tidegate.variables.computed import Definition
    from tidegate.variables.template import Template
    from tidegate.wire.address import Address
    from tidegate.wire.network import Network


class Level(IntEnum):
    """Severity of an error-log line; nginx's names, the higher the worse."""

    DEBUG = 1
    INFO = 2
    NOTICE = 3
    WARN = 4
    ERROR = 5
    CRIT = 6
    ALERT = 7
    EMERG = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Syslog:
    """A server that log lines go to; facility and severity are RFC 3164's numbers."""

    address: Address
    facility: int
    severity: int
    tag: str
    hostname: bool

    @property
    def path(self) -> str:
        """What stands for a file's path."""
        return f"syslog:{self.address.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLog:
    """One `error_log`; `path` is absolute, or None for stderr, or that of its `syslog`."""

    path: str | None
    level: Level
    syslog: Syslog | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFormat:
    """One `log_format`; `escape` is "default", "json" or "none"."""

    name: str
    template: Template
    escape: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogBuffer:
    """What an access log keeps back: bytes in each worker, and how long (0: until it is full)."""

    size: int
    flush_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLogFiles:
    """`open_log_file_cache`: how many files stay open; times in seconds."""

    limit: int
    inactive: int
    min_uses: int
    valid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLog:
    """One `access_log` of a server; `path` is absolute.

    Or lines go to a `syslog`. A path with variables is in `name`, too, and its files may stay open
    as `cache` says. Sessions for which `condition` gives nothing, or "0", have no line.
    """

    path: str
    format: LogFormat
    name: Template | None = None
    buffer: LogBuffer | None = None
    condition: Template | None = None
    cache: OpenLogFiles | None = None
    syslog: Syslog | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Keepalive:
    """TCP keepalive of a listener: None leaves a number to the kernel. Seconds, seconds, probes."""

    on: bool
    idle: int | None = None
    interval: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """One `listen` address of a server."""

    address: Address
    proxy_protocol: bool
    backlog: int
    reuseport: bool
    deferred: bool
    fastopen: int | None
    ipv6only: bool | None
    rcvbuf: int | None
    sndbuf: int | None
    keepalive: Keepalive | None
    ssl: bool = False
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One address of an upstream; a `server` whose name has several addresses makes several.

    `name` is the text of the `server` directive: the consistent hash is made from it. `resolved`
    tells that the address is what a name means at the moment.
    """

    address: Address
    name: str
    weight: int
    max_conns: int
    max_fails: int
    fail_timeout: int  # whole seconds, as nginx counts them
    down: bool
    backup: bool
    slow_start_ms: int = 0  # 0 where the method has none
    resolved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRobin:
    """Smooth weighted round robin, where no other method is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hash:
    """`hash KEY [consistent]`; an empty key falls back to round robin."""

    key: Template
    consistent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IpHash:
    """`ip_hash`: by the client's network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastConn:
    """`least_conn`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastTime:
    """`least_time TIME [inflight]`; `by` is connect, first_byte, last_byte, or http's header."""

    by: str
    inflight: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Random:
    """`random [two [least_conn | least_time=TIME]]`; `by` is that time, "" for `least_conn`."""

    two: bool
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sticky:
    """`sticky learn`: a client goes to the node that `zone` says, as long as it may be chosen.

    Of `lookup` and `create` the first that is not empty is the client's key: for the choice, and
    when the node has taken it. Entries last `timeout` seconds after their last use, or after they
    were made without `refresh`. The table has `size` bytes and is kept in the file `state`.
    """

    lookup: tuple[Template, ...]
    create: tuple[Template, ...]
    zone: str
    size: int
    timeout: int
    state: str
    refresh: bool


Method = RoundRobin | Hash | IpHash | LeastConn | LeastTime | Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A group of peers, in the order of the configuration.

    `proxy_pass host:port` makes one that is `implicit` and bears that text as its name. `http`
    tells that it stands in `http {}`. The peers of `moving` come last, once they are known.
    """

    name: str
    peers: tuple[Peer, ...]
    method: Method
    zone: str | None
    implicit: bool
    http: bool = False
    sticky: Sticky | None = None
    moving: tuple[MovingServer, ...] = ()
    span: Span

    @property
    def key(self) -> str:
        """The name among those of stream and http, which do not know each other's."""
        return f"http {self.name}" if self.http else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """`proxy_bind`: addresses to connect from, in turn; `transparent` ones need not be our own."""

    addresses: tuple[Template, ...]
    transparent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """`proxy_pass` and what goes with it.

    `upstream` is a name, or a text whose variables name one, or an address, for each session.
    `protocol` is the version of the PROXY protocol, 0 without one.
    """

    upstream: str | Template
    connect_timeout_ms: int
    timeout_ms: int
    buffer_size: int
    protocol: int
    bind: Bind | None
    next_upstream: bool
    next_upstream_tries: int
    next_upstream_timeout_ms: int
    socket_keepalive: bool
    half_close: bool
    session_drop: bool
    upload_rate: int
    download_rate: int
    tls: ProxyTls | None
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """`return VALUE`: send this and close."""

    value: Template
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """`pass ADDRESS`: let another server that listens here serve, or one that variables name."""

    to: Address | Template
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One `set $name VALUE`; the name stands without its dollar."""

    name: str
    value: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class SetConnect:
    """One `mqtt_set_connect`; `field` is "clientid", "username" or "password"."""

    field: str
    value: Template
    keep_if_empty: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttNextUpstream:
    """`mqtt_next_upstream`: CONNACK codes, of MQTT 5 and 3, that send a client to the next node.

    `error` is a node that closes before its CONNACK, `timeout` one that is silent.
    """

    codes: frozenset[int]
    error: bool
    timeout: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Mqtt:
    """What a server does with the MQTT that it understands; it has one where it looks at all.

    `preread` is `mqtt_preread`, `rewrite` is `mqtt`. `buffer_size` bounds the CONNECT.
    `keepalive_factor` times the client's keep alive is how long it may be silent; None is off.
    `next_upstream` is None where a refused CONNECT is not tried elsewhere. With `require` what is
    no valid CONNECT is refused.
    """

    preread: bool
    rewrite: bool
    buffer_size: int
    set_connect: tuple[SetConnect, ...]
    keepalive_factor: float | None
    next_upstream: MqttNextUpstream | None
    connack_timeout_ms: int
    require: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """One `allow` or `deny`; `network` is None for `all`, and of AF_UNIX for `unix:`."""

    deny: bool
    network: Network | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitConnZone:
    """One `limit_conn_zone`: connections are counted by `key` in `size` bytes."""

    name: str
    size: int
    key: Template
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitConn:
    """One `limit_conn`: a key of `zone` may have `most` connections."""

    zone: str
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitConns:
    """The limits of a server, in order; with `dry_run` they are only told of, at `log_level`."""

    limits: tuple[LimitConn, ...]
    log_level: Level
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One `server` of `stream`.

    `preread_buffer_size` and `preread_timeout_ms` are for servers that look at a client's first
    bytes, as those with `mqtt` or `ssl_preread` do. `access` is in order: the first rule that fits
    decides. `real_ip_from` may name a client by a PROXY protocol header. Servers of one address are
    told apart by their `names`, as clients of TLS ask for them; `default_for` are the addresses
    where clients that name none are its own.
    """

    listens: tuple[Listen, ...]
    proxy_protocol_timeout_ms: int
    real_ip_from: tuple[Network, ...]
    access: tuple[AccessRule, ...]
    limit_conns: LimitConns | None
    content: Proxy | Return | Pass
    preread_buffer_size: int
    preread_timeout_ms: int
    ssl_preread: bool
    mqtt: Mqtt | None
    tls: Tls | None
    tcp_nodelay: bool
    access_logs: tuple[AccessLog, ...]
    error_logs: tuple[ErrorLog, ...]
    span: Span
    assignments: tuple[Assignment, ...] = ()
    names: tuple[str, ...] = ("",)
    default_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """All of `stream {}`; `upstreams` holds the implicit ones too, each name once.

    `variables` are those that the configuration defines, by name. `tlvs` are the types of TLVs in
    PROXY protocol headers that its texts ask for.
    """

    upstreams: tuple[Upstream, ...]
    limit_conn_zones: tuple[LimitConnZone, ...]
    servers: tuple[Server, ...]
    variables: tuple[tuple[str, Definition], ...] = ()
    tlvs: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A whole configuration. `stream` is None without a `stream {}`, `http` without an `http {}`.

    `user` and `group` are names (None: stay as started). `env` are pairs whose value is None where
    the variable is to be inherited. `files` are the configuration files read, in order.
    """

    files: tuple[str, ...]
    user: str | None
    group: str | None
    worker_processes: int
    worker_connections: int
    worker_rlimit_nofile: int | None
    worker_priority: int
    worker_shutdown_timeout_ms: int | None
    daemon: bool
    master_process: bool
    pid: str
    error_logs: tuple[ErrorLog, ...]
    env: tuple[tuple[str, str | None], ...]
    stream: Stream | None
    http: Http | None

    @property
    def transparent(self) -> bool:
        """Whether a server has `proxy_bind ... transparent`, for which workers keep a right."""
        servers = self.stream.servers if self.stream is not None else ()
        binds = [one.content.bind for one in servers if isinstance(one.content, Proxy)]
        if self.http is not None:
            binds += [proxy.bind for proxy in self.http.proxies()]
        return any(bind is not None and bind.transparent for bind in binds)
