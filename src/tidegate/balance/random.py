"""`random` and `random two`: by lot, or the less loaded of two drawn (B6)."""

from __future__ import annotations

from functools import partial
from random import random
from typing import TYPE_CHECKING

from tidegate.balance.method import MOST_TRIES, Shares, is_alone
from tidegate.balance.round_robin import RoundRobin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tidegate.balance.attempt import Attempt
    from tidegate.balance.times import Times
    from tidegate.config.model import Peer
    from tidegate.scoreboard.group import Group


class Random:
    """Each peer as often as its weight says, on the average."""

    __slots__ = ("_alone", "_group", "_peers", "_round_robin", "_shares")

    def __init__(self, peers: Sequence[Peer], group: Group) -> None:
        self._peers = peers
        self._group = group
        self._shares = Shares(peers)
        self._alone = is_alone(peers)
        self._round_robin = RoundRobin(peers, group)

    def pick(self, attempt: Attempt, /) -> int:
        """Reserve a peer by lot; see `Method`."""
        if self._alone or attempt.tries > MOST_TRIES:
            return self._round_robin.pick(attempt)
        if attempt.last >= 0 and attempt.tried is None:
            attempt.remember(self._peers)
        while attempt.tries <= MOST_TRIES:
            index = self._draw()
            if self._group.pick_this(index, attempt.tried):
                attempt.last = index
                return index
            attempt.tries += 1
        return self._round_robin.pick(attempt)

    def _draw(self) -> int:
        return self._shares.owner(int(random() * self._shares.total))  # noqa: S311 - no secret


class RandomTwo(Random):
    """Of two peers drawn, the one with fewer connections for its weight.

    With `times` it is the one that would be done sooner.
    """

    __slots__ = ("_better",)

    def __init__(self, peers: Sequence[Peer], group: Group, times: Times | None = None) -> None:
        super().__init__(peers, group)
        self._better: Callable[[int, int, bytearray | None], int] = (
            group.pick_lighter if times is None else partial(group.pick_quicker, times.by)
        )

    def pick(self, attempt: Attempt, /) -> int:
        """Reserve the better of two; see `Method`."""
        attempt.noted = 0
        if self._alone or attempt.tries > MOST_TRIES:
            return self._round_robin.pick(attempt)
        if attempt.last >= 0 and attempt.tried is None:
            attempt.remember(self._peers)
        first = -1
        while attempt.tries <= MOST_TRIES:
            drawn = self._draw()
            if first < 0:
                if self._group.live(drawn, attempt.tried):
                    first = drawn
            elif drawn != first:
                index = self._better(first, drawn, attempt.tried)
                if index >= 0:
                    attempt.last = index
                    return index
            # In nginx the first of two counts as a try as well.
            attempt.tries += 1
        return self._round_robin.pick(attempt)
