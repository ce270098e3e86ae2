"""`hash KEY consistent`: a key keeps its node when other nodes come and go (B3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.balance.method import MOST_TRIES, is_alone
from tidegate.balance.ring import Ring
from tidegate.balance.round_robin import RoundRobin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.balance.attempt import Attempt
    from tidegate.config.model import Peer
    from tidegate.scoreboard.group import Group


class Consistent:
    """The server at the key's point on the ring, or at one of those behind it.

    The addresses of one server take turns. Without a key it is round robin.
    """

    __slots__ = ("_alone", "_group", "_peers", "_ring", "_round_robin")

    def __init__(self, peers: Sequence[Peer], group: Group) -> None:
        self._peers = peers
        self._group = group
        self._ring = Ring(peers)
        self._alone = is_alone(peers)
        self._round_robin = RoundRobin(peers, group)

    def pick(self, attempt: Attempt, /) -> int:
        """Reserve a peer of the first server that has a live one; see `Method`."""
        if not attempt.key or self._alone or attempt.tries > MOST_TRIES:
            return self._round_robin.pick(attempt)
        if attempt.last >= 0 and attempt.tried is None:
            attempt.remember(self._peers)
        servers = self._ring.servers
        first = self._ring.find(attempt.key)
        while attempt.tries <= MOST_TRIES:
            server = servers[(first + attempt.tries) % len(servers)]
            index = self._group.pick_of_server(server, attempt.tried)
            if index >= 0:
                attempt.last = index
                return index
            attempt.tries += 1
        return self._round_robin.pick(attempt)
