"""`proxy_pass` at work: from a chosen node to the engine's plan for getting there."""

from __future__ import annotations

from errno import EADDRNOTAVAIL
from typing import TYPE_CHECKING

from tidegate.balance.times import CONNECT, FIRST_BYTE
from tidegate.engine.address import pack_address
from tidegate.engine.outcome import Connect, Relay
from tidegate.health import passive
from tidegate.stream import proxy_header
from tidegate.stream.source import Sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.balance.single import Single
    from tidegate.balance.upstream import Upstream
    from tidegate.config import model
    from tidegate.engine.outcome import Report
    from tidegate.engine.tls_client import ClientTls
    from tidegate.stream.session import Session
    from tidegate.stream.sticky import Sticky
    from tidegate.stream.tls import Upstreams


class Proxy:
    """One server's way to its upstream; built once per configuration and worker."""

    __slots__ = (
        "_addresses",
        "_hears",
        "_model",
        "_notify",
        "_plain",
        "_relay",
        "_tls",
        "_transparent",
        "_tries",
        "_upstreams",
        "_varying",
        "asks_again",
        "key",
        "session_drop",
        "sources",
        "sticky",
        "unlocked",
        "upstream",
    )

    def __init__(
        self,
        proxy: model.Proxy,
        upstream: Upstream | Single,
        *,
        nodelay: bool,
        sources: Sources | None,
        key: Callable[[Session], bytes] | None,
        notify: bool,
        tls: Upstreams | None = None,
        sticky: Sticky | None = None,
    ) -> None:
        self._model = proxy
        self.upstream = upstream
        self.unlocked = 0
        self.key = key  # what the method chooses by
        self.sticky = sticky  # None where no node is remembered
        self.session_drop = proxy.session_drop
        self.sources = sources  # None where the kernel chooses our address
        # Each try may ask variables for its source: they stay until a node took the connection.
        self._varying = tls if tls is not None and tls.varies else None
        # What is learned has variables, too.
        self.asks_again = (
            self._varying is not None
            or (sources is not None and sources.varies)
            or sticky is not None
        )
        times = upstream.times
        self._notify = notify or (times is not None and times.by == CONNECT)
        self._hears = times is not None and times.by == FIRST_BYTE
        self._transparent = sources is not None and sources.transparent
        self._addresses = tuple(
            pack_address(peer.address.family, peer.address.host, peer.address.port)
            for peer in upstream.peers
        )
        self._relay = Relay(
            timeout_ms=proxy.timeout_ms,
            buffer_size=proxy.buffer_size,
            upload_rate=proxy.upload_rate,
            download_rate=proxy.download_rate,
            half_close=proxy.half_close,
            nodelay=nodelay,
        )
        self._upstreams = tls
        self._tls = tls.peers if tls is not None else (None,) * len(upstream.peers)
        # Most sessions have the same plan but for the peer: it is made once.
        self._plain = tuple(
            self._connect(peer, tls, local=b"", first=b"", notify=False)
            for peer, tls in enumerate(self._tls)
        )
        limits = [n for n in (upstream.tries, proxy.next_upstream_tries) if n]
        self._tries = min(limits) if proxy.next_upstream and limits else 1

    def plan(self, session: Session, peer: int, *, anywhere: bool = False) -> Connect:
        """How to reach `peer` for this session, `anywhere` without `proxy_bind`.

        Raises NoSourceError, InvalidAddressError, TlsError.
        """
        proxy = self._model
        # First: what is wrong with it is told once.
        tls = self._tls[peer] if self._varying is None else self._varying.of(session, peer)
        notify = self._notify or self.upstream.failing(peer)
        notify = notify or (self.asks_again and session.values is not None)
        local = b""
        if self.sources is not None and not anywhere:
            local = self.sources.take(session, peer)
            notify = notify or self.sources.has_news(peer)
        header = proxy_header.encode(session, proxy.protocol) if proxy.protocol else b""
        opening = session.opening
        if opening is None:
            notify = notify or self.sticky is not None
        if notify or local or header or self._varying is not None:
            plan = self._connect(peer, tls, local=local, first=header, notify=notify)
        else:
            plan = self._plain[peer]
        return plan if opening is None else plan.opened(*opening)

    def tls_name(self, session: Session) -> str:
        """The name that a node's certificate has to bear."""
        return self._upstreams.name(session) if self._upstreams is not None else ""

    def _connect(
        self, peer: int, tls: ClientTls | None, *, local: bytes, first: bytes, notify: bool
    ) -> Connect:
        """The plan for a session that nobody looks into, or what such a plan begins with."""
        return Connect(
            self._addresses[peer],
            relay=self._relay,
            timeout_ms=self._model.connect_timeout_ms,
            local=local,
            first=first,
            keepalive=self._model.socket_keepalive,
            notify=notify,
            hears=self._hears,
            transparent=self._transparent,
            tls=tls,
            plain=len(first) if tls is not None else 0,
        )

    def missed_source(self, session: Session, error: int) -> bool:
        """Whether a try failed for want of a port of ours; `error` as in the engine's `answer`."""
        if self.sources is None:
            if error != EADDRNOTAVAIL:
                return False
            self.sources = Sources.anywhere(self.upstream.peers)
        return self.sources.missed(session, error)

    def may_try_again(self, tried: int, age_ms: int) -> bool:
        """Whether `proxy_next_upstream` allows another node after `tried` of them."""
        limit = self._model.next_upstream_timeout_ms
        return tried < self._tries and (not limit or age_ms < limit)

    def early_close(self, peer: int, report: Report) -> str | None:
        """What to tell the operator when a node keeps closing sessions before its first byte."""
        return passive.watch(self.upstream, peer, report, proxy_protocol=self._model.protocol > 0)
