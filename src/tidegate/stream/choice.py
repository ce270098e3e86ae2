"""Which server of an address serves a client of TLS: the one that its ClientHello names.

The default one has it until then: its rules say who may begin at all. From here on it is the other
one's session, with all that is written there, limits and rules for who is let in included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.engine.address import unpack_address
from tidegate.variables.server_names import HostError, host_of
from tidegate.variables.values import Values, decode

if TYPE_CHECKING:
    from tidegate.stream.server import Port
    from tidegate.stream.session import Session
    from tidegate.variables.regex import Regex


def by_name(session: Session, name: bytes) -> Session:
    """The session of the server that is asked for; the same one where that is the default."""
    names = session.port.names
    if names is None or not name:
        return session
    try:
        port, matched = names.find(host_of(name))
    except HostError:
        return session
    if port is not session.port:
        session = _hand_over(session, port)
    if matched is not None:
        _remember(session, *matched)
    return session


def _hand_over(session: Session, port: Port) -> Session:
    """Let the server of `port` have the connection; it counts where it is served."""
    server, engine, handle = port.server, port.server.engine, session.handle
    other = port.session(handle)
    other.origin = session.origin
    other.passes = session.passes
    other.server_endpoint = session.server_endpoint
    if server.keeps_address and other.server_endpoint is None:
        other.server_endpoint = unpack_address(engine.server_address(handle))
    limits = session.server.limits
    if limits is not None:
        limits.give_back(session)
        limits.forget(session)
    if engine.secure(handle) and port.tls is not None:
        engine.use_context(handle, port.tls)
    engine.serve_as(
        handle,
        other,
        preread_size=server.preread_size,
        preread_timeout_ms=server.preread_timeout_ms,
    )
    return other


def _remember(session: Session, regex: Regex, groups: tuple[bytes | None, ...]) -> None:
    """Let `$1` and named groups be what an expression matched; it is too early for each `set`."""
    values = session.values
    if values is None:
        values = session.values = Values()
    values.captures = groups
    for name, number in regex.names:
        values.known[name.lower()] = decode(groups[number] or b"")
