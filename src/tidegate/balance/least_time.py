"""`least_time`: the peer that has done what it has, and one session more, soonest (B7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.balance.attempt import Attempt
    from tidegate.balance.times import Times
    from tidegate.config.model import Peer
    from tidegate.scoreboard.group import Group


class LeastTime:
    """Goes by an average of all workers; peers that are about as quick take turns.

    With `inflight` those count too who wait for that time still, so a peer that has become slow is
    left before its first slow session has told of it.
    """

    __slots__ = ("_group", "_inflight", "_peers", "_times")

    def __init__(
        self, peers: Sequence[Peer], group: Group, *, times: Times, inflight: bool
    ) -> None:
        self._peers = peers
        self._group = group
        self._times = times
        self._inflight = inflight

    def pick(self, attempt: Attempt, /) -> int:
        """Reserve the peer that is expected to be done first; see `Method`."""
        if attempt.last >= 0:
            self._times.left(attempt)
            if attempt.tried is None:
                attempt.remember(self._peers)
        group = self._group
        attempt.noted = 0
        attempt.last = group.pick_least_time(
            self._times.by, inflight=self._inflight, tried=attempt.tried
        )
        attempt.flies_to, attempt.took_off = attempt.last, group.took_off
        return attempt.last
