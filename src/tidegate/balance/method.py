"""What all methods are to the rest of the program, and what several of them share."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.balance.attempt import Attempt
    from tidegate.config.model import Peer

# So many candidates may fail one session before nginx leaves its choice to round robin.
MOST_TRIES = 20


class Method(Protocol):
    """A way to choose among the peers of one upstream."""

    def pick(self, attempt: Attempt, /) -> int:
        """Reserve a peer for a session, none twice; its index, or -1 when none is live.

        Sets `last` of `attempt`, and marks the peer in its `tried` where there is one.
        """


class Shares:
    """The primaries side by side, each as wide as its weight, `down` ones too."""

    __slots__ = ("_ends", "total")

    def __init__(self, peers: Sequence[Peer]) -> None:
        # A backup has no width, so that no number falls upon it.
        self._ends = list(accumulate(0 if peer.backup else peer.weight for peer in peers))
        self.total = self._ends[-1] if self._ends else 0

    def owner(self, number: int) -> int:
        """Index of the peer at `number`, which is at least 0 and below `total`."""
        return bisect_right(self._ends, number)


def is_alone(peers: Sequence[Peer]) -> bool:
    """Whether there are less than two primaries: then nginx takes turns whatever the method."""
    return sum(not peer.backup for peer in peers) < 2  # noqa: PLR2004 - as the sentence says
