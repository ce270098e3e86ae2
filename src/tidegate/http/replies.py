"""Answers of our own: texts, redirects, error pages, and what stands for those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.engine.outcome import Refuse
from tidegate.http.answers import BODILESS, LAST, NO_ANSWER, page, status_line
from tidegate.http.response import Response
from tidegate.variables.values import decode, encode
from tidegate.wire.fields import escape_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.engine.outcome import Outcome
    from tidegate.http.server import Location, Page, Returns
    from tidegate.http.session import HttpSession

OK: Final = 200
FOUND: Final = 302
NO_CONTENT: Final = 204
BAD_REQUEST: Final = 400
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Answers that get the fields of `add_header` without `always`.
ADDED_TO: Final = frozenset({200, 201, 204, 206, 301, 302, 303, 304, 307, 308})
HTML: Final = b"text/html"
HTTP_PORTS: Final = {"http": 80, "https": 443}


def reply(
    session: HttpSession,
    status: int,
    body: bytes = b"",
    *,
    content_type: bytes | None = None,
    location: bytes | None = None,
    fields: Sequence[tuple[bytes, bytes]] = (),
) -> Outcome:
    """Answer a request with a text; what the client may ask next is up to both sides."""
    request = session.request
    assert request is not None
    if request.shows:
        status = request.shows
    bodiless = status in BODILESS
    keeps = keeps_alive(session, status)
    response = Response(
        status=status,
        line=status_line(status),
        connection="keep-alive" if keeps else "close",
        content_type=None if bodiless else content_type,
        length=None if bodiless else len(body),
        keep_alive=session.location.model.keepalive_header if keeps else None,
        fields=list(fields),
    )
    if location is not None:
        place(session, response, location)
    add_headers(session, response)
    data = head_of(session, response)
    if not bodiless and request.method != b"HEAD":
        data += body
    return send(session, data, keeps=keeps)


def send(session: HttpSession, data: bytes, *, keeps: bool) -> Outcome:
    """Send an answer that is whole, in the way that the engine allows here."""
    request = session.request
    assert request is not None
    if not keeps:
        return Refuse(session.status, data)
    session.sent = len(data)
    take = request.size - request.taken
    outcome = session.next_request(data, take=take)
    session.finish()
    return outcome


def head_of(session: HttpSession, response: Response) -> bytes:
    """The bytes of a head; notes what the log will ask."""
    request = session.request
    assert request is not None
    head = response.head(tokens=session.location.model.server_tokens)
    request.response = response
    session.status = response.status
    session.header_size = len(head)
    return head


def keeps_alive(session: HttpSession, status: int) -> bool:
    """Whether the client may send another request after this answer."""
    request = session.request
    model = session.location.model
    head = None if request is None else request.head
    if request is None or head is None or not head.keep_alive or status in LAST:
        return False
    if request.owed or (head.chunked and not request.body_done) or session.port.closes:
        return False
    return bool(model.keepalive_timeout_ms) and session.requests < model.keepalive_requests


def add_headers(session: HttpSession, response: Response) -> None:
    """Add the fields of `add_header`."""
    for name, text, always in session.location.add_headers:
        if always or response.status in ADDED_TO:
            value = encode(text(session))
            if value:
                response.fields.append((name, value))


def place(session: HttpSession, response: Response, location: bytes) -> None:
    """Say where to go; a path becomes a whole URL, as the server may ask."""
    location = escape_controls(location)
    if location.startswith(b"/") and session.location.model.absolute_redirect:
        response.location = base_of(session) + location
    else:
        response.fields.append((b"Location", location))


def base_of(session: HttpSession) -> bytes:
    """Scheme, host and port by which the client reached us."""
    request = session.request
    model = session.location.model
    scheme = "https" if session.secure else "http"
    host = None if request is None else request.host
    if host is None or model.server_name_in_redirect:
        host = encode(session.location.virtual.name)
    if not host:
        host = encode(session.server_address)
    port = session.server_port
    shown = f":{port}" if model.port_in_redirect and port != HTTP_PORTS[scheme] else ""
    return f"{scheme}://".encode() + host + shown.encode()


def returned(session: HttpSession, returns: Returns) -> Outcome:
    """Do what `return` says."""
    status = returns.status
    text = b"" if returns.text is None else encode(returns.text(session))
    if status == NO_ANSWER:
        session.status = status
        return Refuse(status)
    if returns.redirect:
        tokens = session.location.model.server_tokens
        return reply(session, status, page(status, tokens=tokens), content_type=HTML, location=text)
    if status >= BAD_REQUEST and returns.text is None:
        return error(session, status)
    return reply(session, status, text, content_type=media_type(session))


def media_type(session: HttpSession) -> bytes:
    """The media type by what the path ends with."""
    request = session.request
    assert request is not None
    name = decode(request.path).rpartition("/")[2]
    stem, _dot, extension = name.rpartition(".")
    model = session.location.model
    found = dict(model.types).get(extension.lower()) if stem else None
    return encode(found or model.default_type)


def error(session: HttpSession, status: int, fields: Sequence[tuple[bytes, bytes]] = ()) -> Outcome:
    """Answer with an error, whose head has these fields too, or what `error_page` has for it."""
    request = session.request
    assert request is not None
    shown = session.location.error_pages.get(status)
    if shown is not None and not request.error and request.head is not None:
        request.error = status
        return error_page(session, status, shown)
    tokens = session.location.model.server_tokens
    body = page(status, tokens=tokens)
    return reply(session, status, body, content_type=HTML, fields=fields)


def error_page(session: HttpSession, status: int, shown: Page) -> Outcome:
    """Go where an `error_page` points."""
    request = session.request
    assert request is not None
    uri = encode(shown.uri(session))
    request.shows = status if shown.status is None else shown.status
    if uri.startswith(b"@"):
        return session.go_named(uri)
    if request.method != b"HEAD":
        request.method = b"GET"
    if uri.startswith(b"/"):
        path, mark, args = uri.partition(b"?")
        return session.go_inside(path, args if mark else None)
    request.shows = 0
    code = shown.status if shown.status in REDIRECTS else FOUND
    assert code is not None
    tokens = session.location.model.server_tokens
    return reply(session, code, page(code, tokens=tokens), content_type=HTML, location=uri)


def last_words(session: HttpSession, status: int) -> bytes:
    """What a client is told where a decision for it went wrong."""
    location: Location = session.location
    body = page(status, tokens=location.model.server_tokens)
    response = Response(
        status=status,
        line=status_line(status),
        connection="close",
        content_type=HTML,
        length=len(body),
    )
    session.status = status
    return response.head(tokens=location.model.server_tokens) + body
