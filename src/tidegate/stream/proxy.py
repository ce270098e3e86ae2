"""`proxy_pass` at work: from a chosen node to the engine's plan for getting there."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tidegate.engine.address import pack_address, unpack_address
from tidegate.engine.outcome import Connect, Relay
from tidegate.health import passive
from tidegate.wire.proxy_protocol import encode_v1

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.balance.upstream import Upstream
    from tidegate.config import model
    from tidegate.engine.outcome import Report
    from tidegate.stream.session import Session


class BindError(ValueError):
    """`proxy_bind` names no address that could be bound."""


class Proxy:
    """One server's way to its upstream; built once per configuration and worker."""

    __slots__ = (
        "_addresses",
        "_bind",
        "_model",
        "_notify",
        "_plain",
        "_relay",
        "_tries",
        "key",
        "unlocked",
        "upstream",
    )

    def __init__(
        self,
        proxy: model.Proxy,
        upstream: Upstream,
        *,
        nodelay: bool,
        bind: Callable[[Session], str] | None,
        key: Callable[[Session], bytes] | None,
        notify: bool,
    ) -> None:
        self._model = proxy
        self.upstream = upstream
        self.unlocked = 0
        self.key = key  # what the method chooses by
        self._bind = bind
        self._notify = notify
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
        # Most sessions have the same plan but for the peer: it is made once.
        self._plain = tuple(
            self._connect(peer, local=b"", first=b"", notify=False)
            for peer in range(len(upstream.peers))
        )
        limits = [n for n in (upstream.tries, proxy.next_upstream_tries) if n]
        self._tries = min(limits) if proxy.next_upstream and limits else 1

    def plan(self, session: Session, peer: int) -> Connect:
        """How to reach `peer` for this session; raises BindError."""
        proxy = self._model
        local = self._local(session, peer) if self._bind is not None else b""
        header = self._header(session) if proxy.protocol else b""
        notify = self._notify or self.upstream.failing(peer)
        opening = session.opening
        if opening is None:
            if notify or local or header:
                return self._connect(peer, local=local, first=header, notify=notify)
            return self._plain[peer]
        return Connect(
            self._addresses[peer],
            relay=self._relay,
            timeout_ms=proxy.connect_timeout_ms,
            local=local,
            first=header + opening.packet,
            keepalive=proxy.socket_keepalive,
            # Without an answer to inspect this is when a session learns that it may forget.
            notify=notify or not opening.answer_size,
            take=opening.take,
            answer_size=opening.answer_size,
            answer_ms=opening.answer_ms or proxy.timeout_ms,
            idle_ms=opening.idle_ms,
        )

    def _connect(self, peer: int, *, local: bytes, first: bytes, notify: bool) -> Connect:
        """The plan for a session that nobody looks into."""
        return Connect(
            self._addresses[peer],
            relay=self._relay,
            timeout_ms=self._model.connect_timeout_ms,
            local=local,
            first=first,
            keepalive=self._model.socket_keepalive,
            notify=notify,
        )

    def may_try_again(self, tried: int, age_ms: int) -> bool:
        """Whether `proxy_next_upstream` allows another node after `tried` of them."""
        limit = self._model.next_upstream_timeout_ms
        return tried < self._tries and (not limit or age_ms < limit)

    def early_close(self, peer: int, report: Report) -> str | None:
        """What to tell the operator when a node keeps closing sessions before its first byte."""
        return passive.watch(self.upstream, peer, report, proxy_protocol=self._model.protocol)

    def local_text(self, session: Session) -> str:
        """The address of `proxy_bind`, for messages."""
        return self._bind(session) if self._bind is not None else ""

    def _local(self, session: Session, peer: int) -> bytes:
        text = self.local_text(session)
        family = self.upstream.peers[peer].address.family
        if not text or family == socket.AF_UNIX:
            return b""
        host, port = split_bind(text)
        try:
            return pack_address(family, host, port)
        except ValueError:
            raise BindError(f"bind({text}) failed: no address to reach the upstream from") from None

    def _header(self, session: Session) -> bytes:
        engine = session.port.server.engine
        server = session.server_endpoint or unpack_address(engine.server_address(session.handle))
        return encode_v1(session.client_endpoint, server)


def split_bind(text: str) -> tuple[str, int]:
    """Host and port of a `proxy_bind` value; 0 is any port."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, int(rest[1:]) if rest[1:].isdecimal() else 0
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, int(port) if port.isdecimal() else 0
    return text, 0
