"""A request on its way to a node, and the node's answer on its way back."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from tidegate.balance.attempt import Attempt
from tidegate.config.model import Level
from tidegate.config.urls import split_uri
from tidegate.engine.outcome import Accept, Need, Say, Tell
from tidegate.health import failure
from tidegate.http import replies
from tidegate.http.answers import CONTINUE, status_line
from tidegate.stream import timing
from tidegate.stream.route import RouteError
from tidegate.stream.session import Opening
from tidegate.wire.chunked import ChunkedBody, ChunkError
from tidegate.wire.fields import words
from tidegate.wire.response_head import ResponseError, read_response_head

if TYPE_CHECKING:
    from tidegate.engine.outcome import Outcome, Report
    from tidegate.http.response import Response
    from tidegate.http.session import HttpSession
    from tidegate.wire.head import ResponseHead

BAD_REQUEST: Final = 400
TOO_LARGE: Final = 413
INTERNAL_ERROR: Final = 500
BAD_GATEWAY: Final = 502
SWITCHING: Final = 101
SWITCHED: Final = ("101",)

# How tunnels end well.
CLOSED: Final = frozenset({"client_closed", "upstream_closed"})

# Chunked bodies are put together before they are sent on: no more than this of any.
MOST_COLLECTED: Final = 1 << 20

# Sub-protocols of WebSocket that are MQTT; the second is that of MQTT 3.1.
MQTT: Final = frozenset({b"mqtt", b"mqttv3.1"})

# As much of what a client says in a tunnel is looked at for its CONNECT.
MOST_OVERHEARD: Final = 1024

# Requests that are not sent twice unless `non_idempotent` allows it; nginx's.
NOT_TWICE: Final = frozenset({b"POST", b"LOCK", b"PATCH"})

READING: Final = "while reading response header from upstream"
TIMED_OUT: Final = f"({errno.ETIMEDOUT}: {os.strerror(errno.ETIMEDOUT)})"


# --- the request ---


def begin(session: HttpSession) -> Outcome:
    """Send the request on, or first wait for what has to be known of its body."""
    request = session.request
    assert request is not None
    assert request.head is not None
    if request.head.chunked and not request.body_done:
        if session.chunks is not None:  # it was not to be had: this is the page for that
            return replies.error(session, request.error or BAD_REQUEST)
        session.chunks = ChunkedBody()
        if request.head.expects_continue and not request.rest:
            return wait_for_body(session, CONTINUE, take=request.size)
        request.taken = 0
        return collect(session, request.rest, ended=False, before=request.size)
    if request.head.expects_continue and request.owed and not request.body:
        return wait_for_body(session, CONTINUE, take=0)
    return connect(session)


def wait_for_body(session: HttpSession, words: bytes, *, take: int) -> Outcome:
    """Let the client go on with its body."""
    request = session.request
    assert request is not None
    need = request.size - request.taken - take + 1
    if need > session.port.head_limits[1]:
        session.say_of_client(Level.INFO, "client sent a head that leaves no room for its body")
        return replies.error(session, BAD_REQUEST)
    request.taken += take
    session.phase = "sending request to upstream"
    session.status = 0
    return Say(
        words,
        take=take,
        need=need,
        timeout_ms=session.location.model.client_body_timeout_ms,
        send_ms=session.location.model.send_timeout_ms,
    )


def go_on(session: HttpSession, data: bytes) -> Outcome:
    """The first of a body that had to be asked for."""
    request = session.request
    assert request is not None
    assert request.head is not None
    length = request.head.length or 0
    request.body = data[request.head.size :][:length]
    request.owed = length - len(request.body)
    request.size = request.head.size + len(request.body)
    return connect(session)


def collect(session: HttpSession, data: bytes, *, ended: bool, before: int = 0) -> Outcome:
    """More of a chunked body; `before` bytes of what the engine has come before `data`."""
    request, chunks = session.request, session.chunks
    assert request is not None
    assert chunks is not None
    model = session.location.model
    try:
        taken = chunks.take(data)
    except ChunkError as error:
        session.say_of_client(Level.INFO, f"client sent invalid chunked body ({error})")
        return replies.error(session, BAD_REQUEST)
    most = min(model.client_max_body_size or MOST_COLLECTED, MOST_COLLECTED)
    if len(chunks.data) > most:
        session.say_of_client(
            Level.ERROR, f"client intended to send too large chunked body: {len(chunks.data)} bytes"
        )
        return replies.error(session, TOO_LARGE)
    request.size += taken
    if chunks.done:
        request.body = bytes(chunks.data)
        request.body_done = True
        session.chunks = None
        return connect(session)
    if ended:
        return session.leave()
    left = len(data) - taken
    if left >= session.port.head_limits[1]:
        session.say_of_client(Level.INFO, "client sent invalid chunked body (a line is too long)")
        return replies.error(session, BAD_REQUEST)
    request.taken += before + taken
    return Say(b"", take=before + taken, need=left + 1, timeout_ms=model.client_body_timeout_ms)


def connect(session: HttpSession) -> Outcome:
    """Choose a node, and send it the request."""
    request = session.request
    location = session.location
    assert request is not None
    assert location.request is not None
    assert location.model.content is not None
    proxy = location.proxy
    if request.internal and request.owed and session.progress.streamed:
        # What another node has of the body is not here any more.
        return replies.error(session, request.error or BAD_GATEWAY)
    if location.route is not None:
        try:
            assert location.target is not None
            host, request.target_uri = split_uri(location.target(session))
            proxy = session.way = location.route.to(host)
            request.proxy_host = host
        except RouteError as error:
            session.say_of_client(Level.ERROR, str(error))
            return replies.error(session, INTERNAL_ERROR)
    assert proxy is not None
    packet = location.request.head(session, request)
    owed = 0
    if location.request.passes_body:
        packet += request.body
        owed = request.owed
    session.failed = ()
    session.attempt = Attempt() if proxy.key is None else Attempt(proxy.key(session))
    limits = location.proxy_limits
    session.opening = Opening(
        packet,
        request.size - request.taken,
        limits.answer_size,
        limits.answer_ms,
        0,
        owed,
        location.model.client_body_timeout_ms,
    )
    return session.connect(proxy)


# --- the answer ---


def read_answer(session: HttpSession, data: bytes, *, ended: bool) -> Outcome:
    """The head of a node's answer; what is none sends the request elsewhere, or is a 502."""
    request = session.request
    assert request is not None
    try:
        head = read_response_head(data)
    except ResponseError as error:
        return leave(session, "invalid_header", f"{error} {READING}", failure.MALFORMED)
    if head is None:
        return incomplete(session, data, ended=ended)
    if head.interim:
        return Tell(b"", take=head.size)
    if head.status != SWITCHING:
        return judged(session, head, data[head.size :])
    assert request.head is not None
    if not request.head.upgrades:
        unasked = f"upstream switched protocols without being asked {READING}"
        return leave(session, "invalid_header", unasked, failure.MALFORMED)
    return switched(session, head)


def incomplete(session: HttpSession, data: bytes, *, ended: bool) -> Outcome:
    """The head of an answer is not whole."""
    if ended:
        closed = f"upstream prematurely closed connection {READING}"
        return leave(session, "error", closed, failure.CUT)
    if len(data) >= session.location.proxy_limits.answer_size:
        big = f"upstream sent too big header {READING}"
        return leave(session, "invalid_header", big, failure.MALFORMED)
    return Need(len(data) + 1)


def judged(session: HttpSession, head: ResponseHead, body: bytes) -> Outcome:
    """A whole head, and what came of the body; for a failure another node may be asked."""
    request = session.request
    assert request is not None
    word = f"http_{head.status}"
    content = session.location.proxy_limits
    if word in content.next_upstream and may_leave(session, word, sent=True):
        failed = head.status not in (403, 404)
        status = str(head.status)
        told = f"upstream answered {status} {READING}"
        statuses = request.upstream_statuses
        request.upstream_statuses += (status,)
        other = session.next_node(told, failure.ANSWERED | head.status, failed=failed)
        if other is not None:
            return other
        request.upstream_statuses = statuses
    elif not session.node_failed:
        session.forgive()
        timing.read(session)
    request.upstream_statuses += (str(head.status),)
    request.upstream = head
    session.upstream_head = head.size
    if content.intercept_errors and head.status in session.location.error_pages:
        return replies.error(session, head.status)
    return relay(session, head, body)


def switched(session: HttpSession, head: ResponseHead) -> Outcome:
    """A 101: of no kind that another node may be asked for, or that has a page of ours."""
    request = session.request
    assert request is not None
    if not session.node_failed:
        session.forgive()
        timing.read(session)
    request.upstream_statuses += SWITCHED
    request.upstream = head
    session.upstream_head = head.size
    return tunnel(session, head)


def leave(session: HttpSession, word: str, told: str, why: int) -> Outcome:
    """The node did not serve: ask another, where that is allowed, or tell the client."""
    request = session.request
    assert request is not None
    if not may_leave(session, word, sent=True):
        session.node_failed = True
        failure.note(session.proxy.upstream, session.peer, why)
        session.say(Level.ERROR, told, session.address)
    else:
        statuses = request.upstream_statuses
        request.upstream_statuses += (str(BAD_GATEWAY),)
        other = session.next_node(told, why, failed=True)
        if other is not None:
            return other
        request.upstream_statuses = statuses
    request.upstream_statuses += (str(BAD_GATEWAY),)
    return replies.error(session, BAD_GATEWAY)


def may_leave(session: HttpSession, word: str, *, sent: bool) -> bool:
    """Whether `proxy_next_upstream` lets another node be asked after this; `sent`: it was asked."""
    request = session.request
    assert request is not None
    words = session.location.proxy_limits.next_upstream
    if word not in words:
        return False
    if sent and request.owed:
        return False  # what went by is not here any more
    return not sent or request.method not in NOT_TWICE or "non_idempotent" in words


def tunnel(session: HttpSession, head: ResponseHead) -> Outcome:
    """The node agreed to another protocol: from here on bytes pass both ways."""
    location = session.location
    writer = location.response
    assert writer is not None
    follows = location.proxy_limits.follows_keepalive
    data = None if location.shows_answer else writer.switch.head(head)
    if data is not None:
        session.status = head.status
        session.header_size = len(data)
        tap = follows and writer.switch.is_mqtt(head)
    else:
        response = writer.response(session, head, connection="upgrade", has_body=False)
        response.length = None
        replies.add_headers(session, response)
        data = replies.head_of(session, response)
        tap = follows and is_mqtt(response)
    session.settle()
    if tap:
        return Accept(data=data, take=head.size, upload=-1, tap=MOST_OVERHEARD)
    return Accept(data=data, take=head.size, upload=-1)


def is_mqtt(response: Response) -> bool:
    """Whether the node agreed to speak MQTT by WebSocket."""
    if response.find(b"upgrade") is None or response.find(b"sec-websocket-extensions"):
        return False
    return words(response.find(b"sec-websocket-protocol")) & MQTT != frozenset()


def relay(session: HttpSession, head: ResponseHead, body: bytes) -> Outcome:
    """Pass an answer on, and let that be all; `body` is what came of it with the head."""
    request = session.request
    writer = session.location.response
    assert request is not None
    assert writer is not None
    bodiless = head.bodiless or request.method == b"HEAD"
    response = writer.response(session, head, connection="close", has_body=not bodiless)
    if request.shows:
        response.status = request.shows
        response.line = status_line(request.shows)
    replies.add_headers(session, response)
    data = replies.head_of(session, response)
    length = 0 if bodiless else head.length
    if length is None and head.chunked:
        length = whole_chunks(body)
    return Accept(data=data, take=head.size, download=-1 if length is None else length)


def whole_chunks(coded: bytes) -> int | None:
    """How many bytes a chunked body is where all of it is there, else None."""
    try:
        chunks = ChunkedBody()
        taken = chunks.take(coded)
    except ChunkError:
        return None  # it goes on as it is; the client will see
    return taken if chunks.done else None


# --- the end ---


def tell_end(session: HttpSession, report: Report) -> None:
    """What nginx says of the end of a connection that had a node."""
    if session.peer < 0:
        return
    if session.told is not None and report.reason in CLOSED:
        return
    if session.told is not None:
        doing = "while proxying upgraded connection"
    elif session.status:
        doing = "while reading upstream"
    else:
        doing = READING
    address = session.address
    if report.reason == "timed_out":
        session.say(Level.ERROR, f"upstream timed out {TIMED_OUT} {doing}", address)
    elif report.reason in ("client_error", "upstream_error"):
        session.tell_fault(report)
        if report.error and abs(report.error) != errno.EPROTO:
            call = "recv()" if report.error > 0 else "send()"
            number = abs(report.error)
            level = Level.INFO if report.reason == "client_error" else Level.ERROR
            words = f"{call} failed ({number}: {os.strerror(number)})"
            session.say(level, f"{words} {doing}", address)
    elif report.reason == "client_closed" and not session.status:
        words = "client prematurely closed connection, so upstream connection is closed too"
        session.say(Level.INFO, f"{words} {doing}", address)
    elif report.reason == "upstream_closed" and is_short(session, report):
        words = "upstream prematurely closed connection while reading upstream"
        session.say(Level.ERROR, words, address)


def is_short(session: HttpSession, report: Report) -> bool:
    """Whether a node sent less than it said."""
    request = session.request
    head = None if request is None else request.upstream
    if request is None or head is None or head.length is None:
        return False
    if head.bodiless or request.method == b"HEAD":
        return False
    return report.upstream_bytes_received < head.size + head.length
