"""Who the client is where a trusted neighbour's field, or PROXY header, says so: nginx's realip."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from tidegate.engine.address import pack_address, unpack_address
from tidegate.wire.network import holds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.http.session import HttpSession
    from tidegate.wire.network import Network
    from tidegate.wire.proxy_protocol import Endpoint

FORWARDED_FOR: Final = "x-forwarded-for"
PROXY_PROTOCOL: Final = "proxy_protocol"


def apply(session: HttpSession) -> None:
    """Let the address that a field names be the client's, once in a request."""
    model = session.location.model
    request = session.request
    if not model.real_ip_from or session.peer_address or request is None or request.head is None:
        return
    if model.real_ip_header == PROXY_PROTOCOL:
        return  # the header itself came before
    values = request.head.fields.all(model.real_ip_header.encode())
    if not values:
        return
    recursive = model.real_ip_recursive
    if model.real_ip_header == FORWARDED_FOR:
        told = [one.strip() for value in values for one in value.replace(b",", b" ").split()]
    else:
        told = [values[0].strip()]
    peer = session.server.engine.client_address(session.handle)
    found = believed(unpack_address(peer), told, model.real_ip_from, recursive=recursive)
    if found is not None:
        session.peer_address = peer
        session.server.engine.set_client_address(session.handle, pack_address(*found))


def believed(
    peer: Endpoint, told: Sequence[bytes], trusted: Sequence[Network], *, recursive: bool
) -> Endpoint | None:
    """The last address that somebody trusted tells; None where nobody is to be believed."""
    found: Endpoint | None = None
    now = peer
    for one in reversed(told):
        if not holds(trusted, now[0], now[1]):
            break
        address = read_address(one.decode("latin-1"))
        if address is None:
            break
        found = now = address
        if not recursive:
            break
    return found


def read_address(text: str) -> Endpoint | None:
    """An address with or without a port; None for what is none."""
    host, port = text, ""
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        if not closed:
            return None
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host)
        number = int(port) if port else 0
    except (OSError, ValueError):
        return None
    return int(family), host, number if 0 <= number <= 65535 else 0  # noqa: PLR2004


def restore(session: HttpSession) -> None:
    """The next request is judged anew."""
    if session.peer_address:
        session.port.server.engine.set_client_address(session.handle, session.peer_address)
        session.peer_address = b""
