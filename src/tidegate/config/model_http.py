"""What a configuration means for `http {}`: frozen data, as in `config.model`.

Locations hold everything that they inherit. What a server does where no location fits is a
location, too: `outside`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidegate.config.model import (
        AccessLog,
        AccessRule,
        Assignment,
        Bind,
        ErrorLog,
        LimitConns,
        LimitConnZone,
        Listen,
        Mqtt,
        Upstream,
    )
    from tidegate.config.model_tls import ProxyTls, Tls
    from tidegate.config.span import Span
    from tidegate.variables.computed import Definition
    from tidegate.variables.template import Template
    from tidegate.wire.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One `proxy_set_header`, or `add_header` where `always` matters: a name and its value."""

    name: str
    value: Template
    always: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """One `proxy_redirect`: what a Location or Refresh begins with, and what stands for it.

    `pattern` is a regular expression where `regex` is "~" or "~*", else a prefix.
    """

    regex: str
    pattern: Template
    replacement: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProxy:
    """`proxy_pass URL` and what goes with it.

    `upstream` is a name, or a text whose variables name one, or an address. `host` is nginx's
    $proxy_host, `port` its $proxy_port. `uri` is what stands behind the host in `proxy_pass`, None
    for nothing: then the client's goes unchanged; with one, it stands for the part of the path
    that the location matched. `set_headers` are in order, nginx's own two among them where they
    are not replaced. `next_upstream` holds its words; it is empty with `off`.
    `read_timeout_written` tells that somebody wrote `proxy_read_timeout`: else MQTT's keep alive
    may stand for it. `protocol` is `proxy_protocol on`, `preread_timeout_ms` how long a CONNECT may
    take. `hide_headers` are in small letters, nginx's own among them. `websocket_to_tcp` is
    `mqtt_websocket_to tcp`. `mqtt` is there with `mqtt_preread on`, or where the client's frames
    are unwrapped.
    """

    upstream: str | Template
    secure: bool
    host: str
    port: str
    uri: Template | None
    http_version: str  # "1.0" or "1.1"
    set_headers: tuple[Header, ...]
    pass_request_headers: bool
    pass_request_body: bool
    hide_headers: tuple[str, ...]
    pass_headers: tuple[str, ...]
    redirects: tuple[Redirect, ...]
    redirect_default: bool
    connect_timeout_ms: int
    send_timeout_ms: int
    read_timeout_ms: int
    read_timeout_written: bool
    buffer_size: int
    bind: Bind | None
    next_upstream: frozenset[str]
    next_upstream_tries: int
    next_upstream_timeout_ms: int
    socket_keepalive: bool
    intercept_errors: bool
    session_drop: bool
    protocol: bool
    preread_timeout_ms: int
    tls: ProxyTls | None
    mqtt: Mqtt | None
    websocket_to_tcp: bool
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReturn:
    """`return CODE [TEXT]` or `return URL`; `redirect` tells that `text` is where to go."""

    status: int
    text: Template | None
    redirect: bool
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Files of a folder: `root`, or `alias` in place of what the location matched."""

    root: Template
    alias: bool
    index: tuple[Template, ...]
    try_files: tuple[Template, ...]
    autoindex: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StubStatus:
    """`stub_status`."""


HttpContent = HttpProxy | HttpReturn | Files | StubStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage:
    """One code of an `error_page`: where to go, and the status to answer.

    `status` is None for the code itself, 0 for that of the answer (`=`). `uri` begins with "/",
    "@" or a scheme.
    """

    code: int
    status: int | None
    uri: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A `location`, or with `match` None the server's own settings.

    `match` is "" (prefix), "=", "^~", "~", "~*" or "@". `key` names the location in this
    configuration and, as a rule, in the next. `types` are extensions and their media types.
    """

    match: str | None
    text: str
    key: str
    nested: tuple[Location, ...]
    content: HttpContent
    internal: bool
    satisfy_any: bool
    access: tuple[AccessRule, ...]
    limit_conns: LimitConns | None
    limit_conn_status: int
    assignments: tuple[Assignment, ...]
    add_headers: tuple[Header, ...]
    error_pages: tuple[ErrorPage, ...]
    types: tuple[tuple[str, str], ...]
    default_type: str
    client_max_body_size: int  # 0 is any
    client_body_timeout_ms: int
    send_timeout_ms: int
    keepalive_timeout_ms: int
    keepalive_header: int | None  # seconds in a Keep-Alive header
    keepalive_requests: int
    server_tokens: bool
    absolute_redirect: bool
    port_in_redirect: bool
    server_name_in_redirect: bool
    tcp_nodelay: bool
    real_ip_from: tuple[Network, ...]
    real_ip_header: str  # in lower case, or "proxy_protocol"
    real_ip_recursive: bool
    access_logs: tuple[AccessLog, ...]
    error_logs: tuple[ErrorLog, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpListen:
    """One `listen` of a server, whether it is the default of its address, and its size limits."""

    listen: Listen
    default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServer:
    """One `server` of `http`.

    `names` are as written, in lower case: "", exact, "*.b.c", ".b.c", "a.*", and "~" before a
    regular expression (whose case stays). `returns` is a `return` of the server itself: it comes
    before any location.
    """

    listens: tuple[HttpListen, ...]
    names: tuple[str, ...]
    tls: Tls | None
    returns: HttpReturn | None
    assignments: tuple[Assignment, ...]
    locations: tuple[Location, ...]
    outside: Location
    client_header_timeout_ms: int
    client_header_buffer_size: int
    large_client_header_buffers: tuple[int, int]
    ignore_invalid_headers: bool
    underscores_in_headers: bool
    merge_slashes: bool
    proxy_protocol_timeout_ms: int
    error_logs: tuple[ErrorLog, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """All of `http {}`; `upstreams` holds the implicit ones too, each name once."""

    upstreams: tuple[Upstream, ...]
    limit_conn_zones: tuple[LimitConnZone, ...]
    servers: tuple[HttpServer, ...]
    variables: tuple[tuple[str, Definition], ...]
    tlvs: frozenset[int]
    span: Span

    def proxies(self) -> Iterator[HttpProxy]:
        """Every `proxy_pass` of every location."""
        left = [one for server in self.servers for one in server.locations]
        while left:
            location = left.pop()
            left += location.nested
            if isinstance(location.content, HttpProxy):
                yield location.content
