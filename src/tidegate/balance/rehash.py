"""What `hash` and `ip_hash` have in common: numbers made from a key, the next where one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.balance.method import MOST_TRIES, Shares, is_alone
from tidegate.balance.round_robin import RoundRobin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tidegate.balance.attempt import Attempt
    from tidegate.config.model import Peer
    from tidegate.scoreboard.group import Group


class Rehash:
    """The key's numbers, one after the other, name peers until one of those is live.

    `start` is the number before the first; `following(number, key, round)` gives the one after
    `number`, rounds count from 0.
    """

    __slots__ = (
        "_alone",
        "_following",
        "_group",
        "_peers",
        "_round_robin",
        "_shares",
        "_start",
    )

    def __init__(
        self,
        peers: Sequence[Peer],
        group: Group,
        *,
        start: int,
        following: Callable[[int, bytes, int], int],
    ) -> None:
        self._peers = peers
        self._group = group
        self._start = start
        self._following = following
        self._shares = Shares(peers)
        self._alone = is_alone(peers)
        self._round_robin = RoundRobin(peers, group)

    def pick(self, attempt: Attempt, /) -> int:
        """Reserve the first live peer that the key leads to; see `Method`."""
        key = attempt.key
        if not key or self._alone or attempt.tries > MOST_TRIES:
            return self._round_robin.pick(attempt)
        if attempt.last >= 0 and attempt.tried is None:
            attempt.remember(self._peers)
        number = self._start
        # Sessions live long and seldom pick twice: the number is made anew, not kept.
        for number_of_round in range(attempt.rounds):
            number = self._following(number, key, number_of_round)
        shares = self._shares
        while attempt.tries <= MOST_TRIES:
            number = self._following(number, key, attempt.rounds)
            attempt.rounds += 1
            index = shares.owner(number % shares.total)
            if self._group.pick_this(index, attempt.tried):
                attempt.last = index
                return index
            attempt.tries += 1
        return self._round_robin.pick(attempt)
