"""A client's connection to `http {}`: one request after the other, or one that becomes a tunnel.

The phases have nginx's names: preread (the head), route (server, location), content (an answer of
our own, a node's, the control process's), log. Engine and node are dealt with by what this has from
`stream`; the bytes of a tunnel never come here.
"""

from __future__ import annotations

import errno
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, TypeVar

from tidegate.config.model import Level
from tidegate.engine.address import unpack_address
from tidegate.engine.outcome import Need, Refuse, Say
from tidegate.http import keepalive, local_content, proxying, realip, replies, routing
from tidegate.http.request import Request
from tidegate.http.uri import UriError, read_target
from tidegate.stream import realip as proxy_header
from tidegate.stream import timing
from tidegate.stream.judged_session import JudgedSession
from tidegate.stream.session import NO_HANDSHAKE, OK, client_text, tried_so_far
from tidegate.variables.server_names import HostError, host_of
from tidegate.variables.values import cut, decode
from tidegate.wire.head import plain_request
from tidegate.wire.quoted import quoted
from tidegate.wire.request_head import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidegate.engine.outcome import Connect, Heard, Outcome, Report
    from tidegate.http.server import HttpPort, Location, Rules
    from tidegate.stream.limit_conn import Limits
    from tidegate.stream.tls_pairs import PairFiles
    from tidegate.wire.chunked import ChunkedBody
    from tidegate.wire.head import RequestHead
    from tidegate.wire.proxy_protocol import Endpoint

T = TypeVar("T")

BAD_REQUEST = 400
REQUEST_TIMEOUT = 408
CLIENT_LEFT = 499  # nginx's own: the client did not wait for its answer
INTERNAL_ERROR = 500
BAD_GATEWAY = 502
GATEWAY_TIMEOUT = 504
SWITCHING = 101

TIMED_OUT = f"({errno.ETIMEDOUT}: Connection timed out)"
# A client that closes in its time and one that is out of it end in the same call.
CLOSE_TO_MS = 50


class HttpSession(JudgedSession):
    """One connection. `location` is who serves the request, or would if there were none yet.

    `request` is None between requests and once a tunnel has begun; then `kept` is what the log
    needs of it, and `told` request line, URI and host for the error log. `sent` are the bytes of an
    answer of ours; -1 where the engine counts them.
    """

    __slots__ = (
        "began",
        "chunks",
        "header_size",
        "kept",
        "limits",
        "local",
        "location",
        "peer_address",
        "phase",
        "pipelined",
        "request",
        "requests",
        "rules",
        "sent",
        "sent_before",
        "status",
        "told",
        "upstream_head",
    )

    block: ClassVar[str] = "http"
    doing: ClassVar[Mapping[int, str]] = {
        errno.ETIMEDOUT: "while connecting to upstream",
        errno.ETIME: "while reading response header from upstream",
    }

    port: HttpPort  # type: ignore[assignment]

    def __init__(self, port: HttpPort, handle: int) -> None:
        super().__init__(port, handle)  # type: ignore[arg-type]
        self.location: Location = port.server
        self.request: Request | None = None
        self.requests = 0
        self.rules: Rules | None = None  # of TLS, where the hello chose them
        self.kept: tuple[str | None, ...] | None = None
        self.told: tuple[bytes, ...] | None = None
        self.chunks: ChunkedBody | None = None
        self.limits: Limits | None = None  # that count the request
        self.peer_address = b""
        self.began = 0.0
        self.status = 0
        self.sent = -1
        self.sent_before = 0
        self.header_size = 0
        self.upstream_head = 0  # bytes of the head of the node's answer
        self.local = False
        self.pipelined = False  # the request came with the one before
        self.phase = "reading client request line"

    # --- the phases ---

    def accept(self, header: bytes, error: int, /) -> Outcome | None:
        """The PROXY header, where the address has one."""
        return proxy_header.read_header(self, header, error)

    def preread(self, data: bytes, ended: bool, /) -> Outcome:  # noqa: FBT001 the engine calls by position
        """The head of a request, then as much of its body as has to be known."""
        if self.request is None:
            if not data:
                return Refuse(OK)  # it says no more, or not in time
            self.begin_request()
        request = self.request
        assert request is not None
        if request.head is None:
            return self.read_head(request, data, ended=ended)
        if self.chunks is not None:
            return proxying.collect(self, data, ended=ended)
        return self.leave() if ended else proxying.go_on(self, data)

    def read_head(self, request: Request, data: bytes, *, ended: bool) -> Outcome:
        """The head, as far as it came."""
        line, most = self.port.head_limits
        try:
            head = plain_request(data, line, most) or self.port.judge_head(data)
        except RequestError as error:
            return self.refuse_head(error, data)
        if head is None:
            request.size = len(data)
            return self.leave() if ended else self.rest_of_head(len(data))
        return self.read(head, data)

    def rest_of_head(self, size: int) -> Outcome:
        """Wait for more of a head, of which `size` bytes are there, as long as a client may take.

        The engine's time is that of the first request; of another, that of waiting for it.
        """
        if self.requests == 1:
            return Need(size + 1)
        left = self.port.header_timeout_ms - self.age_ms
        return Need(size + 1, timeout_ms=left) if left > 0 else self.leave()

    def begin_request(self) -> None:
        """The first bytes of a request are there."""
        self.request = Request()
        self.requests += 1
        self.began = monotonic()
        if self.requests > 1:
            self.sent_before = self.progress.bytes_sent
        self.port.gauges.begin()

    def leave(self) -> Outcome:
        """The client ended, or was too slow, before its request was whole."""
        waited = (monotonic() - self.began) * 1000
        self.status = BAD_REQUEST
        if waited + CLOSE_TO_MS >= self.port.header_timeout_ms:
            self.status = REQUEST_TIMEOUT
            self.say_of_client(Level.INFO, f"client timed out {TIMED_OUT} while {self.phase}")
        else:
            closed = f"client prematurely closed connection while {self.phase}"
            self.say_of_client(Level.INFO, closed)
        self.sent = 0
        return Refuse(self.status)

    def refuse_head(self, error: RequestError, data: bytes) -> Outcome:
        """Answer a request whose head is not to be read."""
        assert self.request is not None
        line, end, _rest = data.lstrip(b"\r\n").partition(b"\r\n")
        self.request.line = line if end else b""
        self.request.size = len(data)
        self.say_of_client(Level.INFO, str(error))
        return replies.error(self, error.status)

    def read(self, head: RequestHead, data: bytes) -> Outcome:
        """The head is whole: find who serves it."""
        request = self.request
        assert request is not None
        self.port.gauges.read()
        request.head = head
        request.line = head.line
        request.size = head.size
        self.phase = "reading client request headers"
        if head.path is not None:
            request.uri = head
            request.path, request.args = head.path, head.args
        else:
            merge = self.location.virtual.model.merge_slashes
            try:
                request.uri = read_target(head.target, merge_slashes=merge)
            except UriError:
                self.say_of_client(
                    Level.INFO, "client sent invalid request while reading client request line"
                )
                return replies.error(self, BAD_REQUEST)
            request.path, request.args = request.uri.path, request.uri.args
        if len(data) > head.size:
            request.rest = data[head.size :]
        if head.length:
            request.body = request.rest[: head.length]
            request.owed = head.length - len(request.body)
            request.size += len(request.body)
        return routing.enter(self)

    def farewell(self, status: int, /) -> bytes:
        """A client that waits for an answer is told of a fault of ours; else nothing is said."""
        if status != INTERNAL_ERROR or self.request is None:
            return b""
        return replies.last_words(self, status)

    def go_inside(self, path: bytes, args: bytes | None) -> Outcome:
        """Serve another path instead."""
        return routing.redirect(self, path, args)

    def go_named(self, name: bytes) -> Outcome:
        """Serve by the location `@name` instead."""
        return routing.named(self, name)

    # --- nodes ---

    def refuse(self, status: int) -> Outcome:
        """Answer with an error."""
        return replies.error(self, status)

    def status_of(self, error: int) -> int:
        """504 for a node that was too slow."""
        return GATEWAY_TIMEOUT if error in self.doing else BAD_GATEWAY

    def may_go_on(self, error: int) -> bool:
        """As `proxy_next_upstream` says."""
        word = "timeout" if error in self.doing else "error"
        return proxying.may_leave(self, word, sent=error == errno.ETIME) and super().may_go_on(
            error
        )

    def answer(self, error: int, connect_ms: int, /) -> Outcome:
        """A node was not reached, or said nothing in time; or the control process."""
        if self.local:
            return local_content.failed(self, error)
        return super().answer(error, connect_ms)

    def blame(self, error: int, address: str) -> None:
        """Say why a node was not reached, and note what that is as a status."""
        super().blame(error, address)
        assert self.request is not None
        self.request.upstream_statuses += (str(self.status_of(error)),)

    def on_its_way(self, plan: Connect) -> Connect:
        """What the variables gave is needed until the request is answered."""
        return plan

    def connected(self) -> None:
        """The node took the connection; whether it is well its answer tells."""
        self.tell_connected()

    def inspect(self, data: bytes, ended: bool, /) -> Outcome:  # noqa: FBT001 as preread
        """The head of the node's answer, or the control process's."""
        if self.local:
            return local_content.read_answer(self, data, ended=ended)
        return proxying.read_answer(self, data, ended=ended)

    def overhear(self, data: bytes, ended: bool, /) -> Need | Heard:  # noqa: FBT001 as preread
        """What a client of MQTT says first in its tunnel: how long it may be silent."""
        return keepalive.heard(data, ended=ended)

    def done(self, report: Report, /) -> Outcome:
        """An answer of the control process is with the client, who may ask for more."""
        del report
        self.finish()
        return self.next_request(b"")

    # --- the end ---

    def next_request(self, data: bytes, *, take: int = 0) -> Outcome:
        """Send the last answer and wait for a request."""
        model = self.location.model
        self.phase = "reading client request line"
        return Say(
            data,
            take=take,
            need=1,
            timeout_ms=model.keepalive_timeout_ms,
            send_ms=model.send_timeout_ms,
            idle=True,
        )

    def end(self, report: Report, /) -> None:
        """The connection is over, and with it what it was at."""
        self.report = report
        if report.reason == NO_HANDSHAKE:
            self.tell_fault(report)
        elif self.request is not None or self.kept is not None:
            self.tell_end(report)
            self.finish()

    def tell_end(self, report: Report) -> None:
        """What nginx says of the end of an answer or a tunnel."""
        proxying.tell_end(self, report)
        if not self.status:
            self.status = CLIENT_LEFT if report.reason.startswith("client") else INTERNAL_ERROR

    def finish(self) -> None:
        """A request is over: its node is free, its line is written, nothing of it stays."""
        limits, self.limits = self.limits, None
        # Whatever goes wrong in one of these, the others are done.
        try:
            try:
                try:
                    self.free_node(self.progress)
                finally:
                    if limits is not None:
                        limits.give_back(self)
            finally:
                self.log()
        finally:
            try:
                if limits is not None:
                    limits.forget(self)
            finally:
                self.port.gauges.end(read=self.request is None or self.request.head is not None)
                if self.report is None:
                    self.reset()

    def free_node(self, report: Report) -> None:
        """The node that the request has, if any, has one less."""
        timing.left(self)
        if self.peer < 0:
            return
        if report.connect_ms >= 0 and not self.node_failed:
            timing.request_over(self)
        if report.connect_ms < 0:
            self.proxy.upstream.cancel(self.peer)
        elif self.proxy.upstream.release(self.peer, failed=self.node_failed):
            self.say(Level.WARN, "upstream server temporarily disabled", self.address)

    def reset(self) -> None:
        """Be as before a request."""
        self.pipelined = self.request is not None and self.request.followed
        self.request = self.kept = self.told = self.chunks = None
        self.values = self.opening = self.way = self.attempt = None
        self.peer = -1
        self.failed = ()
        self.node_failed = False
        self.misses = 0
        self.status = self.header_size = 0
        self.sent = -1
        self.local = False
        self.location = self.port.server
        if self.peer_address:
            realip.restore(self)

    def leave_node(self) -> None:
        """Give the node back, as somebody else is to serve the request."""
        timing.left(self)
        if self.peer >= 0:
            self.failed = (*self.failed, tried_so_far(self.address, self.progress))
            self.proxy.upstream.release(self.peer, failed=self.node_failed)
        self.peer = -1
        self.node_failed = False
        # Else the upstream that a variable chose would stand before the next location's.
        self.way = None

    def settle(self) -> None:
        """A tunnel begins: of the request only what the logs will name is kept."""
        request = self.request
        assert request is not None
        location = self.location
        # Devices of a fleet say the same: what the last one said is kept once.
        self.kept = ()
        if location.kept:
            kept = tuple([cut(read(self)) for _name, read in location.kept])
            self.kept = location.last_kept = shared(kept, location.last_kept)
        self.told = location.last_told = shared(self._told(), location.last_told)
        if self.values is not None:
            self.forget()
        self.request = None
        self.opening = None
        timing.settle(self)

    # --- what is known ---

    @property
    def server(self) -> Location:
        """Who serves the request."""
        return self.location

    @property
    def age_ms(self) -> int:
        """Milliseconds since the request began."""
        return int((monotonic() - self.began) * 1000)

    @property
    def secure(self) -> bool:
        """Whether the client came by TLS."""
        return self.port.server.engine.secure(self.handle)

    @property
    def server_address(self) -> str:
        """The address that the client reached us at."""
        return self.server_place[1]

    @property
    def server_port(self) -> int:
        """The port that the client reached us at."""
        return self.server_place[2]

    @property
    def server_place(self) -> Endpoint:
        """Family, host and port that the client reached us at."""
        if self.server_endpoint is None:
            packed = self.port.server.engine.server_address(self.handle)
            self.server_endpoint = unpack_address(packed)
        return self.server_endpoint

    def greeted(self, name: bytes, /) -> None:
        """The client's TLS goes by the rules of the server that it names, if there is one."""
        try:
            server, _matched = self.port.names.find(host_of(name) if name else None)
        except HostError:
            return
        rules = self.rules = self.port.rules.get(server)
        if rules is not None:
            self.port.server.engine.use_context(self.handle, rules.context)

    @property
    def pairs(self) -> PairFiles | None:
        """The certificates of the server that the client's hello named, where variables choose."""
        return self.port.pairs if self.rules is None else self.rules.pairs

    @property
    def bytes_sent(self) -> int:
        """Bytes of the answer that the client was sent."""
        return self.sent if self.sent >= 0 else self.progress.bytes_sent - self.sent_before

    @property
    def about(self) -> str:
        """Client, server, request and host, for a line of the error log."""
        return self.details("")

    def say(self, level: Level, message: str, upstream: str | None = None) -> None:
        """A line about the request; with `upstream` it ends in nginx's details of both sides."""
        log = self.location.error_log
        if not log.enabled(level):
            return
        if upstream is not None:
            message += self.details(upstream)
        log.write(level, message, connection=self.number)

    def details(self, upstream: str) -> str:
        """What nginx says of a request behind each message."""
        client = client_text(self.client_endpoint)
        if self.request is None and self.told is None:
            return f", client: {client}, server: {self.port.address}"
        line, uri, host = map(decode, self.told or self._told())
        words = f", client: {client}, server: {self.location.virtual.name}"
        if line:
            words += f", request: {shown(line)}"
        if upstream:
            secure = "https" if self.location.proxy_limits.secure else "http"
            mark = ":" if upstream.startswith("unix:") else ""
            words += f", upstream: {shown(f'{secure}://{upstream}{mark}{uri}')}"
        return f"{words}, host: {shown(host)}" if host else words

    def _told(self) -> tuple[bytes, ...]:
        request = self.request
        assert request is not None
        host = request.head.host if request.head is not None else None
        return request.line, request.sent_uri, host or b""


def shared(new: tuple[T, ...], last: tuple[T, ...] | None) -> tuple[T, ...]:
    """`new`, made of the objects of `last` as far as they are equal."""
    if last is None or new == last:
        return new if last is None else last
    return tuple(old if one == old else one for one, old in zip(new, last, strict=True))


def shown(text: str) -> str:
    """A client's words between quotes, as far as a line shows them."""
    return quoted(text, most=SHOWN)


# Lines and URIs are longer than what a log shows of a name.
SHOWN = 1024
