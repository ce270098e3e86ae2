"""Files and the status page: asked of the control process, answered to the client by us."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from tidegate.config.model import Level
from tidegate.engine.address import pack_address
from tidegate.engine.outcome import Accept, Connect, Need, Relay
from tidegate.http import replies
from tidegate.http.answers import page, status_line
from tidegate.http.local import file_request, status_request, verdict
from tidegate.http.response import Response
from tidegate.variables.values import decode, encode
from tidegate.wire.response_head import ResponseError, read_response_head

if TYPE_CHECKING:
    from tidegate.engine.outcome import Outcome
    from tidegate.http.local import Verdict
    from tidegate.http.session import HttpSession
    from tidegate.wire.head import ResponseHead

UNAVAILABLE: Final = 503
NOT_FOUND: Final = 404
MOVED: Final = 301
CONNECT_MS: Final = 5_000
ANSWER_MS: Final = 60_000
HEAD_SIZE: Final = 16_384
RELAY_SIZE: Final = 65_536
RELAY: Final = Relay(timeout_ms=60_000, buffer_size=RELAY_SIZE, half_close=True)

# What the control process says of its own connection, and what has a place of its own.
NOT_PASSED: Final = frozenset(
    {b"connection", b"server", b"date", b"content-type", b"content-length", b"transfer-encoding"}
)
# The framework writes names in small letters; some clients look for them as nginx has them.
NAMES: Final = {
    b"accept-ranges": b"Accept-Ranges",
    b"content-range": b"Content-Range",
    b"etag": b"ETag",
    b"last-modified": b"Last-Modified",
}


def begin(session: HttpSession) -> Outcome:
    """Ask the control process for what the location serves."""
    request = session.request
    location = session.location
    assert request is not None
    assert request.head is not None
    if session.port.local is None or not (location.status or location.folder):
        return replies.error(session, NOT_FOUND)
    if location.status:
        data = status_request(decode(request.method))
    else:
        assert location.folder is not None
        plain = request.error or request.head.minor < 1
        data = file_request(
            location.folder,
            session,
            method=decode(request.method),
            uri=decode(request.path),
            headers=() if plain else request.head.fields,
        )
    session.local = True
    return Connect(
        pack_address(socket.AF_UNIX, session.port.local, 0),
        relay=RELAY,
        timeout_ms=CONNECT_MS,
        first=data,
        take=request.size - request.taken,
        answer_size=HEAD_SIZE,
        answer_ms=ANSWER_MS,
        upload=0,
    )


def failed(session: HttpSession, error: int) -> Outcome:
    """The control process was not to be had, or said nothing."""
    session.say_of_client(Level.ERROR, f"the control process does not answer (errno {error})")
    session.local = False
    return replies.error(session, UNAVAILABLE)


def read_answer(session: HttpSession, data: bytes, *, ended: bool) -> Outcome:
    """The head of its answer: for the client, or for us."""
    try:
        head = read_response_head(data)
    except ResponseError as error:
        session.say_of_client(Level.ALERT, f"the control process: {error}")
        return replies.error(session, UNAVAILABLE)
    if head is None:
        if ended or len(data) >= HEAD_SIZE:
            session.say_of_client(Level.ERROR, "the control process closed before its answer")
            return replies.error(session, UNAVAILABLE)
        return Need(len(data) + 1)
    told = verdict(head.status, head.fields)
    return relay(session, head) if told is None else obey(session, told)


def obey(session: HttpSession, told: Verdict) -> Outcome:
    """Do what it says instead of a body."""
    request = session.request
    assert request is not None
    if told.error:
        session.say_of_client(told.level, told.error)
    if told.redirect:
        target = encode(told.redirect)
        if target.startswith(b"@"):
            return session.go_named(target)
        args = request.args if told.args is None else encode(told.args) or None
        return session.go_inside(target, args)
    if told.location:
        where = encode(told.location)
        if request.args is not None:
            where += b"?" + request.args
        tokens = session.location.model.server_tokens
        body = page(told.status, tokens=tokens)
        return replies.reply(session, told.status, body, content_type=replies.HTML, location=where)
    fields = [(b"Content-Range", encode(told.content_range))] if told.content_range else []
    return replies.error(session, told.status, fields)


def relay(session: HttpSession, head: ResponseHead) -> Outcome:
    """Pass its answer to the client, who may then ask for more."""
    request = session.request
    assert request is not None
    keeps = replies.keeps_alive(session, head.status)
    status = request.shows or head.status
    response = Response(
        status=status,
        line=status_line(status),
        connection="keep-alive" if keeps else "close",
        content_type=head.fields.get(b"content-type"),
        length=head.length,
        keep_alive=session.location.model.keepalive_header if keeps else None,
        fields=[
            (NAMES.get(name.lower(), name), value)
            for name, value in head.fields
            if name.lower() not in NOT_PASSED
        ],
    )
    replies.add_headers(session, response)
    data = replies.head_of(session, response)
    bodiless = head.bodiless or request.method == b"HEAD"
    left = 0 if bodiless or head.length is None else head.length
    # The control process does not keep anybody waiting: silence is the client's.
    terms = Relay(
        timeout_ms=session.location.model.send_timeout_ms,
        buffer_size=RELAY_SIZE,
        half_close=True,
    )
    return Accept(data=data, take=head.size, download=left, again=keeps, relay=terms)
