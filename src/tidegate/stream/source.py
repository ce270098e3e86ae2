"""`proxy_bind` at work: which of our addresses a connection to a node comes from.

An address has one port for each connection to a node, some 28,000 by default. Where the kernel has
none left, that is no fault of the node: the next address of the list takes over, and for a short
while nobody asks for the one without ports.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import TYPE_CHECKING

from tidegate.config import model
from tidegate.engine.address import pack_address
from tidegate.variables.template import Template, compile_template
from tidegate.wire.local_address import read_local_address

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tidegate.stream.session import Session

# How long an address is left out for a node to which it has no free port. To learn that again costs
# the kernel a look at each of its ports; and a port that comes back waits no longer than this.
FULL_SECONDS = 0.5

# Once told, an address that stays without ports is not told again before this.
QUIET_SECONDS = 60.0

# Pairs of node and address that are remembered; addresses out of variables may be anything.
MOST_REMEMBERED = 1024

# Errors of our own bind that another address may not meet: it is not ours, its port is taken, it is
# of the node's family.
NOT_THIS_ONE = frozenset(
    -number for number in (errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EAFNOSUPPORT, errno.EINVAL)
)


class InvalidAddressError(ValueError):
    """A variable's value is no address; nginx says so, and connects from anywhere."""


class NoSourceError(Exception):
    """There is no address to reach a node from; `bound` where none of them could even be bound.

    `addresses` is "" where the system chooses.
    """

    def __init__(self, addresses: Sequence[str], error: int, *, bound: bool) -> None:
        self.addresses = ", ".join(addresses)
        self.reason = f"({abs(error)}: {os.strerror(abs(error))})"
        self.bound = bound
        super().__init__(f"no source among {self.addresses} {self.reason}")


class Want:
    """An address that has no port to a node: why, until when, and when that was last told."""

    __slots__ = ("error", "told", "until")

    def __init__(self) -> None:
        self.error = 0
        self.until = 0.0
        self.told = -QUIET_SECONDS


class Source:
    """One address of the list; `packed` is None where variables make it."""

    __slots__ = ("family", "packed", "text")

    def __init__(self, template: Template, text: Callable[[Session], str]) -> None:
        self.text = text
        self.family = 0
        self.packed: bytes | None = None
        constant = template.constant
        if constant is not None:
            self.family, self.packed = pack(constant) if constant else (0, b"")


# Without `proxy_bind`: the system chooses, and has no more ports than anybody.
ANYWHERE = model.Bind(addresses=(Template(("",)),), transparent=False)


class Sources:
    """The addresses of one `proxy_bind`, as a worker's sessions take turns with them.

    Each node has its own turn, and its own ports at each address.
    """

    __slots__ = (
        "_by_family",
        "_families",
        "_many",
        "_most",
        "_news",
        "_turns",
        "_wants",
        "transparent",
        "varies",
    )

    def __init__(
        self,
        bind: model.Bind,
        peers: Sequence[model.Peer],
        compiled: Callable[[Template], Callable[[Session], str]],
    ) -> None:
        """`peers` are those of the upstream; `compiled` makes a function of a text."""
        self.transparent = bind.transparent
        sources = tuple(Source(one, compiled(one)) for one in bind.addresses)
        self._many = len(sources) > 1
        # Misses of one session: a variable may give another address each time it is asked.
        self._most = len(sources) * len(peers)
        self._families = tuple(peer.address.family for peer in peers)
        self._by_family = {
            family: tuple(one for one in sources if one.family in (0, family)) or sources
            for family in self._families
        }
        self.varies = any(source.packed is None for source in sources)
        self._turns = [0] * len(peers)
        self._wants: dict[tuple[int, str], Want] = {}
        self._news: dict[int, dict[str, int]] = {}

    @classmethod
    def anywhere(cls, peers: Sequence[model.Peer]) -> Sources:
        """Where there is no `proxy_bind`: what is known of ports is known here too."""
        return cls(ANYWHERE, peers, lambda text: compile_template(text, {}))

    def take(self, session: Session, peer: int) -> bytes:
        """Choose the session's `source` for a peer; packed, b"" is anywhere.

        Raises InvalidAddressError; and NoSourceError when no address has a port to the peer.
        """
        family = self._families[peer]
        session.source = ""
        if family == socket.AF_UNIX:
            return b""
        sources = self._by_family[family]
        turn = self._turns[peer] % len(sources)
        full = []
        for step in range(len(sources)):
            place = (turn + step) % len(sources)
            source = sources[place]
            text = source.text(session)
            if self._wants and self._wants_port(peer, text):
                full.append(text)
                continue
            self._turns[peer] = place + 1
            packed = source.packed
            if packed is None:
                packed = pack(text)[1] if text else b""
            session.source = text
            return packed
        # Named in the order of the configuration.
        raise self._no_source(peer, full[-turn:] + full[:-turn])

    def missed(self, session: Session, error: int) -> bool:
        """Whether a try failed for its source; then that is left out for a while.

        `error` is as in the engine's `answer`. A single address that cannot be bound is not meant:
        there the error stands for itself.
        """
        if error != errno.EADDRNOTAVAIL and not (self._many and error in NOT_THIS_ONE):
            return False
        session.misses += 1
        if session.misses > self._most:
            return False
        now = time.monotonic()
        key = session.peer, session.source
        want = self._wants.get(key)
        if want is None:
            self._make_room(now)
            want = self._wants[key] = Want()
        want.error = error
        want.until = now + FULL_SECONDS
        if self._many and want.told + QUIET_SECONDS <= now:
            self._news.setdefault(session.peer, {})[session.source] = error
        return True

    def has_news(self, peer: int) -> bool:
        """Whether `news` would tell anything."""
        return peer in self._news

    def news(self, peer: int) -> dict[str, int]:
        """The addresses that were left out for a peer, and why; each is told but once a while."""
        found = self._news.pop(peer, {})
        now = time.monotonic()
        for text in found:
            if (peer, text) in self._wants:
                self._wants[peer, text].told = now
        return found

    def _wants_port(self, peer: int, text: str) -> bool:
        want = self._wants.get((peer, text))
        return want is not None and time.monotonic() < want.until

    def _no_source(self, peer: int, full: list[str]) -> NoSourceError:
        self.news(peer)
        errors = [self._wants[peer, text].error for text in full]
        return NoSourceError(full, errors[0], bound=all(error < 0 for error in errors))

    def _make_room(self, now: float) -> None:
        if len(self._wants) < MOST_REMEMBERED:
            return
        self._wants = {key: want for key, want in self._wants.items() if now < want.until}
        if len(self._wants) >= MOST_REMEMBERED:
            self._wants = {}


def pack(text: str) -> tuple[int, bytes]:
    """Family and sockaddr of an address; raises InvalidAddressError."""
    address = read_local_address(text)
    if address is None:
        raise InvalidAddressError(text)
    return address.family, pack_address(address.family, address.host, address.port)
