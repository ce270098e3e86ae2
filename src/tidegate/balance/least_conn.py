"""`least_conn`: the peer with the fewest connections for its weight (B4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.balance.attempt import Attempt
    from tidegate.config.model import Peer
    from tidegate.scoreboard.group import Group


class LeastConn:
    """Counts the connections of all workers; equals take turns."""

    __slots__ = ("_group", "_peers")

    def __init__(self, peers: Sequence[Peer], group: Group) -> None:
        self._peers = peers
        self._group = group

    def pick(self, attempt: Attempt, /) -> int:
        """Reserve the least loaded peer; see `Method`."""
        if attempt.last >= 0 and attempt.tried is None:
            attempt.remember(self._peers)
        attempt.last = self._group.pick_least_conn(attempt.tried)
        return attempt.last
