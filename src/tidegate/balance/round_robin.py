"""Smooth weighted round robin: what nginx does where no method is written (B1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.balance.attempt import Attempt
    from tidegate.config.model import Peer
    from tidegate.scoreboard.group import Group


class RoundRobin:
    """Each peer in its turn, as often as its weight says."""

    __slots__ = ("_group", "_peers")

    def __init__(self, peers: Sequence[Peer], group: Group) -> None:
        self._peers = peers
        self._group = group

    def pick(self, attempt: Attempt, /) -> int:
        """Reserve the peer whose turn it is; see `Method`."""
        if attempt.last >= 0 and attempt.tried is None:
            attempt.remember(self._peers)
        attempt.last = self._group.pick_round_robin(attempt.tried)
        return attempt.last
