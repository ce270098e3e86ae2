"""TLS on both sides of a server's sessions, ready made once per configuration and worker."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tidegate.config.secure import client_context, server_context
from tidegate.engine.tls_client import ClientTls, Resumption
from tidegate.engine.tls_pem import TlsError
from tidegate.stream.tls_pairs import PairFiles
from tidegate.variables.template import compile_template
from tidegate.variables.values import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from tidegate.config import model
    from tidegate.config.model_http import HttpServer
    from tidegate.config.model_tls import ProxyTls, Tls
    from tidegate.engine.tls_context import Context
    from tidegate.engine.tls_pem import Certificate, Key
    from tidegate.engine.tls_resume import TicketKeys
    from tidegate.scoreboard.cache import Cache
    from tidegate.stream.session import Session

    Getters = Mapping[str, Callable[[Session], str | None]]

# Names and certificates for which sessions with brokers are kept, where variables make them.
MOST_KEPT = 256


class Contexts:
    """The contexts of one configuration: servers with equal directives share one.

    `living` has those of all configurations that are in use: sessions may be left of many, and a
    context with a bundle of certificates takes hundreds of KiB, and tens of ms to make.
    """

    def __init__(
        self,
        tickets: TicketKeys,
        caches: Mapping[str, Cache],
        living: MutableMapping[object, Context] | None = None,
    ) -> None:
        self._tickets = tickets
        self._caches = caches
        self._living = {} if living is None else living
        self._pairs: dict[Tls, PairFiles] = {}

    def of_address(self, tls: Tls, *, asks_rules: bool = False) -> Context:
        """What a server of http shakes hands with; who the client is, is judged by the request.

        With `asks_rules` it is that of an address where other servers have rules of their own.
        """
        return self._server(tls, judge=False, asks_rules=asks_rules)

    def of(self, server: model.Server, *, asks_rules: bool = False) -> Context | None:
        """What the server's `listen … ssl` shake hands with; None where it has none.

        With `asks_rules` its clients may ask for another server, with rules of its own.
        """
        if server.tls is None:
            return None
        return self._server(server.tls, judge=True, asks_rules=asks_rules)

    def _server(self, tls: Tls, *, judge: bool, asks_rules: bool) -> Context:
        zone = tls.session_cache.zone
        cache = None if zone is None else self._caches[zone[0]]
        key = tls, cache, judge, asks_rules
        made = self._living.get(key)
        if made is None:
            made = server_context(tls, self._tickets, cache, judge=judge)
            if asks_rules:
                made.ask_rules()
            self._living[key] = made
        return made

    def pairs(self, server: model.Server | HttpServer, getters: Getters) -> PairFiles | None:
        """The server's certificates, where each client chooses them."""
        tls = server.tls
        if tls is None or tls.named is None:
            return None
        made = self._pairs.get(tls)
        if made is None:
            made = self._pairs[tls] = PairFiles(tls.named, tls.passwords, getters)
        return made

    def to_upstream(
        self, proxy: model.Proxy, upstream: str, peers: int, getters: Getters
    ) -> Upstreams | None:
        """How the peers of `upstream` are spoken to; None where that is in plain text."""
        tls = proxy.tls
        if tls is None:
            return None
        key = tls, proxy.connect_timeout_ms
        context = self._living.get(key)
        if context is None:
            context = client_context(tls, timeout_ms=proxy.connect_timeout_ms)
            self._living[key] = context
        return Upstreams(tls, context, host_of(upstream), peers, getters)


class Upstreams:
    """TLS with each peer of an upstream, and what is kept of the last session with it.

    `peers` has one for each; it is empty where it `varies`, as variables tell for each connection.
    """

    __slots__ = (
        "_context",
        "_count",
        "_host",
        "_kept",
        "_name",
        "_pairs",
        "_tls",
        "peers",
        "varies",
    )

    def __init__(
        self, tls: ProxyTls, context: Context, host: str, peers: int, getters: Getters
    ) -> None:
        self._tls = tls
        self._context = context
        self._count = peers
        self._host = host
        self._name = compile_template(tls.name, getters) if tls.name.parts != ("",) else None
        self._pairs = None
        if tls.named is not None:
            self._pairs = PairFiles(tls.named, tls.passwords, getters)
        self.varies = tls.named is not None or tls.name.constant is None
        # By all that a session with a peer may depend on; what was used last is last.
        self._kept: dict[tuple[object, ...], tuple[Resumption | None, ...]] = {}
        self.peers: tuple[ClientTls, ...] = ()
        if not self.varies:
            name = host_of(tls.name.constant or "") or host
            self.peers = tuple(self._client(name, one, ()) for one in self._resumptions(()))

    def name(self, session: Session) -> str:
        """What a peer's certificate has to be made out to."""
        return host_of(self._name(session)) if self._name is not None else self._host

    def of(self, session: Session, peer: int) -> ClientTls:
        """How this session's connection to a peer is secured; raises TlsError."""
        name = self.name(session)
        if self._tls.verify and (not name or "\0" in name):
            message = f'upstream SSL certificate does not match "{name}"'
            raise TlsError(message)
        files = self._pairs.names(session) if self._pairs is not None else ()
        # A session of another name, or as somebody else, would be a way around the checks.
        resumption = self._resumptions((name, files))[peer]
        pairs = self._pairs.read(files) if self._pairs is not None else ()
        return self._client(name, resumption, pairs)

    def _client(
        self,
        name: str,
        resumption: Resumption | None,
        pairs: tuple[tuple[Certificate, Key], ...],
    ) -> ClientTls:
        return ClientTls(
            self._context,
            name=encode(name),
            # RFC 6066 allows no addresses there.
            sends_name=self._tls.server_name and not is_address(name),
            verifies_name=self._tls.verify,
            resumption=resumption,
            pairs=pairs,
        )

    def _resumptions(self, key: tuple[object, ...]) -> tuple[Resumption | None, ...]:
        if not self._tls.session_reuse:
            return (None,) * self._count
        kept = self._kept.pop(key, None)
        if kept is None:
            kept = tuple(Resumption() for _ in range(self._count))
            if len(self._kept) >= MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        self._kept[key] = kept
        return kept


def host_of(upstream: str) -> str:
    """What `proxy_pass` names, without a port and without the brackets of IPv6."""
    if upstream.startswith("["):
        return upstream[1:].partition("]")[0]
    if upstream.count(":") > 1:
        return upstream
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
