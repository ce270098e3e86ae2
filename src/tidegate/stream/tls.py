"""TLS on both sides of a server's sessions, ready made once per configuration and worker."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tidegate.config.secure import client_context, server_context
from tidegate.engine.tls_context import ClientTls, Context, Resumption

if TYPE_CHECKING:
    from tidegate.config import model
    from tidegate.config.model_tls import ProxyTls, Tls
    from tidegate.engine.tls_context import TicketKeys


class Contexts:
    """The contexts of one configuration: servers with equal directives share one."""

    def __init__(self, tickets: TicketKeys) -> None:
        self._tickets = tickets
        self._made: dict[Tls, Context] = {}

    def of(self, server: model.Server) -> Context | None:
        """What the server's `listen … ssl` shake hands with; None where it has none."""
        if server.tls is None:
            return None
        made = self._made.get(server.tls)
        if made is None:
            made = self._made[server.tls] = server_context(server.tls, self._tickets)
        return made


def ways(proxy: model.Proxy, peers: int) -> tuple[ClientTls | None, ...]:
    """How each peer is spoken to: in TLS, with what is kept of its last session, or in plain."""
    tls = proxy.tls
    if tls is None:
        return (None,) * peers
    context = client_context(tls, timeout_ms=proxy.connect_timeout_ms)
    return tuple(_way(tls, context) for _ in range(peers))


def _way(tls: ProxyTls, context: Context) -> ClientTls:
    return ClientTls(
        context,
        name=tls.name.encode("utf-8", "surrogateescape"),
        # RFC 6066 allows no addresses there.
        sends_name=tls.server_name and not is_address(tls.name),
        verifies_name=tls.verify,
        resumption=Resumption() if tls.session_reuse else None,
    )


def is_address(name: str) -> bool:
    """Whether a name is an IP address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
        except (OSError, ValueError):
            continue
        return True
    return False
