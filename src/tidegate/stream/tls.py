"""TLS on both sides of a server's sessions, ready made once per configuration and worker."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tidegate.config.secure import client_context, server_context
from tidegate.engine.tls_client import ClientTls, Resumption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidegate.config import model
    from tidegate.config.model_http import HttpServer
    from tidegate.config.model_tls import ProxyTls, Tls
    from tidegate.engine.tls_context import Context
    from tidegate.engine.tls_resume import TicketKeys
    from tidegate.scoreboard.cache import Cache


class Contexts:
    """The contexts of one configuration: servers with equal directives share one."""

    def __init__(self, tickets: TicketKeys, caches: Mapping[str, Cache]) -> None:
        self._tickets = tickets
        self._caches = caches
        self._made: dict[Tls, Context] = {}
        self._clients: dict[tuple[ProxyTls, int], Context] = {}

    def of(self, server: model.Server | HttpServer) -> Context | None:
        """What the server's `listen … ssl` shake hands with; None where it has none."""
        if server.tls is None:
            return None
        made = self._made.get(server.tls)
        if made is None:
            zone = server.tls.session_cache.zone
            cache = None if zone is None else self._caches[zone[0]]
            made = self._made[server.tls] = server_context(server.tls, self._tickets, cache)
        return made

    def to_upstream(self, proxy: model.Proxy, upstream: str, peers: int) -> Upstreams | None:
        """How the peers of `upstream` are spoken to; None where that is in plain text."""
        tls = proxy.tls
        if tls is None:
            return None
        key = tls, proxy.connect_timeout_ms
        context = self._clients.get(key)
        if context is None:
            context = client_context(tls, timeout_ms=proxy.connect_timeout_ms)
            self._clients[key] = context
        return Upstreams(tls, context, tls.name or host_of(upstream), peers)


class Upstreams:
    """TLS with each peer of an upstream, and what is kept of the last session with it."""

    __slots__ = ("name", "peers")

    def __init__(self, tls: ProxyTls, context: Context, name: str, peers: int) -> None:
        self.name = name
        self.peers = tuple(
            ClientTls(
                context,
                name=name.encode("utf-8", "surrogateescape"),
                # RFC 6066 allows no addresses there.
                sends_name=tls.server_name and not is_address(name),
                verifies_name=tls.verify,
                resumption=Resumption() if tls.session_reuse else None,
            )
            for _ in range(peers)
        )


def host_of(upstream: str) -> str:
    """What `proxy_pass` names, without a port and without the brackets of IPv6."""
    if upstream.startswith("["):
        return upstream[1:].partition("]")[0]
    return upstream.partition(":")[0]


def is_address(name: str) -> bool:
    """Whether a name is an IP address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
        except (OSError, ValueError):
            continue
        return True
    return False
