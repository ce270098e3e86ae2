"""One upstream as a worker's sessions use it: pick a peer, say how it went, give it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.balance.placement import peer_keys
from tidegate.scoreboard.group import Group, Slot

if TYPE_CHECKING:
    from tidegate.balance.placement import Placement
    from tidegate.config import model
    from tidegate.scoreboard.board import Board


class Attempt:
    """What one session remembers of the peers it was given.

    `tried` has one byte per peer and comes into being with the second pick: most sessions make one.
    """

    __slots__ = ("last", "tried")

    def __init__(self) -> None:
        self.last = -1
        self.tried: bytearray | None = None


class Upstream:
    """The peers of one upstream in one worker; all indexes are into `peers`."""

    __slots__ = ("group", "name", "peers", "tries")

    def __init__(self, upstream: model.Upstream, group: Group) -> None:
        self.name = upstream.name
        self.peers = upstream.peers
        self.group = group
        # As nginx counts what one session may try: addresses that are not `down`, with backups.
        self.tries = sum(not peer.down for peer in upstream.peers)

    def pick(self, attempt: Attempt) -> int:
        """Reserve the peer whose turn it is, none twice for one session; -1 when none is live.

        Each peer picked is to be given back by `release`.
        """
        if attempt.last >= 0 and attempt.tried is None:
            attempt.tried = self._tried_first(attempt.last)
        attempt.last = self.group.pick_round_robin(attempt.tried)
        return attempt.last

    def _tried_first(self, index: int) -> bytearray:
        """Bytes for a session whose only try was `index`; from a backup there is no way back."""
        over = self.peers[index].backup
        tried = bytearray(over and not peer.backup for peer in self.peers)
        tried[index] = 1
        return tried

    def release(self, index: int, *, failed: bool) -> bool:
        """Give a peer back; `failed` when the connect did.

        True when this failure took it out of service, which is worth a line in the log.
        """
        return self.group.release(index, failed=failed)

    def cancel(self, index: int) -> None:
        """Give a peer back unasked, for a fault of ours: that tells nothing about it."""
        self.group.cancel(index)

    def connected(self, index: int) -> None:
        """Forget a peer's failures, as a connect succeeded; only needed while it is `failing`."""
        self.group.connected(index)

    def failing(self, index: int) -> bool:
        """Tell whether a peer has failures that a connect would make forgotten."""
        return self.group.failing(index)

    def closed_early(self, index: int) -> int:
        """Count a session that the peer closed before its first byte; returns how many in a row."""
        return self.group.closed_early(index)

    def answered(self, index: int) -> None:
        """End the row of early closes; costs next to nothing where there is none."""
        self.group.answered(index)

    @property
    def unlocked(self) -> int:
        """How often this worker chose without the shared mutex, as its holder did not run."""
        return self.group.unlocked


def place(upstream: model.Upstream, *, placement: Placement, board: Board, worker: int) -> Upstream:
    """Join an upstream of the model to its places on the board, for the worker of that slot."""
    slots = [
        Slot(
            placement.peers.taken[key],
            weight=peer.weight,
            max_conns=peer.max_conns,
            max_fails=peer.max_fails,
            fail_timeout=peer.fail_timeout,
            down=peer.down,
            backup=peer.backup,
        )
        for key, peer in zip(peer_keys(upstream), upstream.peers, strict=True)
    ]
    return Upstream(upstream, Group(board, placement.upstreams.taken[upstream.name], worker, slots))
