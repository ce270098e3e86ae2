"""What one session remembers of the peers it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.config.model import Peer


class Attempt:
    """One session's way from peer to peer.

    `key` is for the methods that hash: the evaluated key of `hash`, `ip_hash.key_of` the client.
    `tried` has one byte per peer and comes into being with the second pick: most sessions make
    one. `rounds` counts how often a method has hashed, `tries` how often in vain; it is all that
    the next pick needs to go on where the last one was.

    Where a method goes by time, `noted` is what was told of the peer in hand, and `took_off` the
    millisecond at which the session set out for the peer `flies_to`, -1 when it is not under way.
    """

    __slots__ = (
        "flies_to",
        "key",
        "last",
        "noted",
        "rounds",
        "took_off",
        "tried",
        "tries",
    )

    def __init__(self, key: bytes = b"") -> None:
        self.key = key
        self.last = -1
        self.rounds = 0
        self.tried: bytearray | None = None
        self.tries = 0
        self.noted = 0
        self.flies_to = -1
        self.took_off = -1

    def remember(self, peers: Sequence[Peer]) -> None:
        """Begin `tried` with the only peer picked so far; from a backup there is no way back."""
        over = peers[self.last].backup
        self.tried = bytearray(over and not peer.backup for peer in peers)
        self.tried[self.last] = 1
