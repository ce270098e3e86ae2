"""From a request's head to who serves it: server, location, rules, content; nginx's phases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.config.model import Level
from tidegate.http import local_content, proxying, realip, replies, secure
from tidegate.http.answers import page
from tidegate.http.request import MOST_REDIRECTS
from tidegate.variables.regex import RegexError
from tidegate.variables.server_names import HostError, host_of
from tidegate.variables.values import decode

if TYPE_CHECKING:
    from tidegate.engine.outcome import Outcome
    from tidegate.http.locations import Found
    from tidegate.http.server import Location
    from tidegate.http.session import HttpSession
    from tidegate.variables.regex import Regex

MOVED: Final = 301
BAD_REQUEST: Final = 400
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
TOO_LARGE: Final = 413
INTERNAL_ERROR: Final = 500


def enter(session: HttpSession) -> Outcome:
    """Choose the server, and begin."""
    request = session.request
    assert request is not None
    assert request.head is not None
    assert request.uri is not None
    request.method = request.head.method
    if request.uri.authority is None and request.head.host_name is not None:
        request.host = request.head.host_name
    else:
        text = request.head.host if request.uri.authority is None else request.uri.authority
        try:
            request.host = None if text is None else host_of(text)
        except HostError:
            session.say_of_client(Level.INFO, "client sent invalid host header")
            return replies.error(session, BAD_REQUEST)
    server, matched = session.port.names.find(request.host)
    session.location = server.outside
    if matched is not None:
        remember(session, *matched)
    if server.straight and session.port.tls is None:
        location = server.tree.direct(request.path)
        if location is not None and location.straight and not request.head.has_body:
            session.location = location
            return proxying.connect(session)
        return choose(session)
    realip.apply(session)
    fault = secure.fault(session)
    if fault:
        return replies.error(session, fault)
    if server.returns is not None:
        return replies.returned(session, server.returns)
    return choose(session)


def choose(session: HttpSession) -> Outcome:
    """Find the location of the path, and serve."""
    request = session.request
    assert request is not None
    server = session.location.virtual
    direct = server.tree.direct(request.path)
    if direct is not None:
        session.location = direct
        return serve(session)
    session.location = server.outside
    try:
        found: Found[Location] | None = server.tree.find(request.path)
    except RegexError as error:
        session.say_of_client(Level.ALERT, str(error))
        return replies.error(session, INTERNAL_ERROR)
    if found is None:
        return serve(session)
    session.location = found.location
    if found.matched is not None:
        remember(session, *found.matched)
    if found.redirect:
        path = request.path + b"/"
        return to_slash(session, path if request.args is None else path + b"?" + request.args)
    return serve(session)


def to_slash(session: HttpSession, target: bytes) -> Outcome:
    """Send the client to the same path with a slash."""
    tokens = session.location.model.server_tokens
    body = page(MOVED, tokens=tokens)
    return replies.reply(session, MOVED, body, content_type=replies.HTML, location=target)


def remember(session: HttpSession, regex: Regex, groups: tuple[bytes | None, ...]) -> None:
    """Let `$1` and named groups be what an expression matched."""
    values = session.compute()
    values.captures = groups
    for name, number in regex.names:
        values.known[name.lower()] = decode(groups[number] or b"")


def serve(session: HttpSession) -> Outcome:
    """Serve by the location that was chosen."""
    request = session.request
    location = session.location
    assert request is not None
    assert request.head is not None
    if location.straight and not request.head.has_body:
        return proxying.connect(session)
    if location.model.internal and not request.internal:
        return replies.error(session, NOT_FOUND)
    most, length = location.model.client_max_body_size, request.head.length or 0
    if most and length > most and not request.error:
        session.say_of_client(
            Level.ERROR, f"client intended to send too large body: {length} bytes"
        )
        return replies.error(session, TOO_LARGE)
    if location.returns is not None:
        return replies.returned(session, location.returns)
    realip.apply(session)
    refused = keep_out(session, location)
    return content(session, location) if refused is None else refused


def keep_out(session: HttpSession, location: Location) -> Outcome | None:
    """The phases preaccess and access: limits, then rules."""
    request = session.request
    assert request is not None
    if location.limits is not None and session.limits is None and not request.internal:
        session.limits = location.limits
        if not location.limits.admit(session):
            return replies.error(session, location.model.limit_conn_status)
    if location.denies is not None and location.denies(session.client_endpoint):
        if not (location.model.satisfy_any and request.error):
            session.say_of_client(Level.ERROR, "access forbidden by rule")
        return replies.error(session, FORBIDDEN)
    return None


def content(session: HttpSession, location: Location) -> Outcome:
    """What the location serves."""
    if location.shake_hands is not None:
        outcome = location.shake_hands(session)
        if outcome is not None:
            return outcome
    if location.request is not None:
        return proxying.begin(session)
    return local_content.begin(session)


def redirect(session: HttpSession, path: bytes, args: bytes | None) -> Outcome:
    """Go on as for another path, inside."""
    request = session.request
    assert request is not None
    request.redirects += 1
    if request.redirects > MOST_REDIRECTS:
        shown = decode(path)
        cycle = "rewrite or internal redirection cycle while internally redirecting to"
        session.say_of_client(Level.ERROR, f'{cycle} "{shown}"')
        request.shows = 0
        return replies.error(session, INTERNAL_ERROR)
    request.path, request.args, request.internal = path, args, True
    session.leave_node()
    return choose(session)


def named(session: HttpSession, name: bytes) -> Outcome:
    """Go on in the location `@name`."""
    request = session.request
    assert request is not None
    request.redirects += 1
    location = session.location.virtual.tree.named(name)
    if location is None or request.redirects > MOST_REDIRECTS:
        session.say_of_client(Level.ERROR, f'could not find named location "{decode(name)}"')
        request.shows = 0
        return replies.error(session, INTERNAL_ERROR)
    request.internal = True
    session.leave_node()
    session.location = location
    return serve(session)
