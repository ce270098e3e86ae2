"""What requests find in a worker: addresses, servers and locations, ready made."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from weakref import ref

from tidegate.stream.server import Server
from tidegate.wire.request_head import judged_head

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tidegate.config import model_http
    from tidegate.config.model import Listen
    from tidegate.config.model_tls import Tls
    from tidegate.engine.outcome import Outcome
    from tidegate.engine.tls_context import Context
    from tidegate.http.gauges import Gauges
    from tidegate.http.local import Folder
    from tidegate.http.locations import Tree
    from tidegate.http.proxy_heads import RequestWriter
    from tidegate.http.proxy_response import ResponseWriter
    from tidegate.http.session import HttpSession
    from tidegate.stream.tls_pairs import PairFiles
    from tidegate.variables.server_names import Names


class Returns:
    """A `return`: `text` is None where there is none to send."""

    __slots__ = ("redirect", "status", "text")

    def __init__(
        self, status: int, text: Callable[[HttpSession], str] | None, *, redirect: bool
    ) -> None:
        self.status = status
        self.text = text
        self.redirect = redirect


class Page:
    """One code of an `error_page`."""

    __slots__ = ("status", "uri")

    def __init__(self, status: int | None, uri: Callable[[HttpSession], str]) -> None:
        self.status = status
        self.uri = uri


class ProxyLimits:
    """What a `proxy_pass` lets a node's answer be, and what it makes of it.

    `answer_size` and `answer_ms` bound its head. With `follows_keepalive` a tunnel of MQTT goes by
    the client's keep alive.
    """

    __slots__ = (
        "answer_ms",
        "answer_size",
        "follows_keepalive",
        "host",
        "intercept_errors",
        "next_upstream",
        "port",
        "secure",
    )

    def __init__(self, proxy: model_http.HttpProxy) -> None:
        self.answer_size = proxy.buffer_size
        self.answer_ms = proxy.read_timeout_ms
        self.next_upstream = proxy.next_upstream
        self.intercept_errors = proxy.intercept_errors
        self.follows_keepalive = not proxy.read_timeout_written
        self.secure = proxy.secure
        self.host = proxy.host
        self.port = proxy.port


class Location(Server):
    """A location: what a server of stream has, and what is of HTTP alone.

    `model` has what needs no making. One of `returns`, `request` (with `response`, for a proxy),
    `folder` and `status` says what it serves. With `straight` requests go to a node with nothing
    asked before; `shows_answer` tells that something asks for the answer's fields. `kept` are the
    variables, beside those that change until the end, that its log lines need once the request
    itself is let go of.
    """

    __slots__ = (
        "_virtual",
        "add_headers",
        "error_pages",
        "folder",
        "kept",
        "last_kept",
        "last_told",
        "model",
        "preread_timeout_ms",
        "proxy_limits",
        "request",
        "response",
        "returns",
        "shake_hands",
        "shows_answer",
        "status",
        "straight",
        "target",
        "unwraps",
        "uri_prefix",
    )

    _virtual: ref[VirtualServer]
    model: model_http.Location
    proxy_limits: ProxyLimits
    add_headers: Sequence[tuple[bytes, Callable[[HttpSession], str], bool]]
    error_pages: Mapping[int, Page]
    returns: Returns | None
    request: RequestWriter | None
    response: ResponseWriter | None
    folder: Folder[HttpSession] | None
    straight: bool
    shows_answer: bool
    status: bool
    last_kept: tuple[str | None, ...] | None  # of the last session that settled, to share
    last_told: tuple[bytes, ...] | None
    kept: tuple[tuple[str, Callable[[HttpSession], str | None]], ...]
    target: Callable[[HttpSession], str] | None  # the host of a `proxy_pass` with variables
    # Answers clients of MQTT in WebSocket; None for others, and where MQTT is not read.
    shake_hands: Callable[[HttpSession], Outcome | None] | None
    unwraps: bool  # MQTT comes out of frames, and goes to the node without
    preread_timeout_ms: int  # for a CONNECT in frames
    uri_prefix: int  # bytes of a path that a `proxy_pass` with a URI replaces

    @property
    def virtual(self) -> VirtualServer:
        """The server that it is in, which lives as long as its address does.

        It is not held here: in a circle of references a former configuration would outlive its
        last session, and keep its places on the scoreboard.
        """
        virtual = self._virtual()
        assert virtual is not None
        return virtual

    @virtual.setter
    def virtual(self, server: VirtualServer) -> None:
        self._virtual = ref(server)


class VirtualServer:
    """One `server`: its locations, and what it does before any of them is chosen.

    With `straight` that is nothing.
    """

    __slots__ = ("__weakref__", "model", "name", "outside", "returns", "straight", "tree")

    def __init__(
        self,
        server: model_http.HttpServer,
        *,
        outside: Location,
        tree: Tree[Location],
        returns: Returns | None,
    ) -> None:
        self.model = server
        self.name = server.names[0] if server.names else ""
        self.outside = outside
        self.tree = tree
        self.returns = returns
        self.straight = returns is None and not outside.model.real_ip_from


class Rules(NamedTuple):
    """What a client's TLS goes by that asks for a server; `pairs` as in `stream.server.Server`."""

    tls: Tls
    context: Context
    pairs: PairFiles | None


class HttpPort:
    """One address that servers listen on; `outside` is what its default server does elsewhere.

    It is to a session what `stream.server.Port` is.
    """

    __slots__ = (
        "address",
        "asks_accept",
        "gauges",
        "head_limits",
        "header_timeout_ms",
        "judge_head",
        "local",
        "names",
        "pairs",
        "proxy_protocol",
        "rules",
        "server",
        "stale",
        "tls",
    )

    def __init__(
        self,
        listen: Listen,
        names: Names[VirtualServer],
        *,
        gauges: Gauges,
        tls: Context | None,
        pairs: PairFiles | None,
        rules: Mapping[VirtualServer, Rules],
        local: str | None,
    ) -> None:
        """`local` is the path of the control process's socket.

        `rules` are those of the servers but the default one, where not all have the same TLS.
        """
        default = names.default
        self.address = listen.address.text
        self.names = names
        self.server = default.outside
        self.proxy_protocol = listen.proxy_protocol
        self.asks_accept = listen.proxy_protocol
        self.tls = tls
        self.pairs = pairs
        self.rules = rules
        self.gauges = gauges
        self.local = local
        self.stale = False  # a reload has put another in its place: requests are to come anew
        model = default.model
        number, size = model.large_client_header_buffers
        line = max(size, model.client_header_buffer_size)
        most = model.client_header_buffer_size + number * size
        self.head_limits = line, most
        self.judge_head = partial(
            judged_head,
            line=line,
            most=most,
            underscores=model.underscores_in_headers,
            strict_names=model.ignore_invalid_headers,
        )
        # The engine's 0 is no time at all.
        self.header_timeout_ms = model.client_header_timeout_ms or 1

    @property
    def closes(self) -> bool:
        """Whether no connection is kept for another request."""
        return self.stale or self.gauges.leaving
