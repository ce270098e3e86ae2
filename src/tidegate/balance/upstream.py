"""One upstream as a worker's sessions use it: pick a peer, say how it went, give it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.balance.attempt import Attempt
from tidegate.balance.consistent import Consistent
from tidegate.balance.hash import Hash
from tidegate.balance.ip_hash import IpHash
from tidegate.balance.least_conn import LeastConn
from tidegate.balance.least_time import LeastTime
from tidegate.balance.placement import peer_keys
from tidegate.balance.random import Random, RandomTwo
from tidegate.balance.ring import server_numbers
from tidegate.balance.round_robin import RoundRobin
from tidegate.balance.times import Times, number_of
from tidegate.config import model
from tidegate.scoreboard.group import Group, Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.balance.method import Method
    from tidegate.balance.placement import Placement
    from tidegate.scoreboard.board import Board

__all__ = ["Attempt", "Upstream", "place"]


class Upstream:
    """The peers of one upstream in one worker; all indexes are into `peers`.

    `pick(attempt)` is its method's: it reserves a peer for a session, none twice for the same
    one, and gives -1 when none is live. `pick_this(index, tried)` reserves that peer, if it is
    live. Each peer picked is to be given back once: by
    `release(index, failed=)`, which is True when this failure took it out of service, or by
    `cancel(index)` unasked, for a fault of ours that tells nothing about it. `connected(index)`
    makes failures forgotten as a connect succeeded, and matters only while it is `failing`. `times`
    is told how long peers take, where the method goes by that, else None.
    """

    # What is the group's own is bound once, so that a call has no further step.
    __slots__ = (
        "__weakref__",
        "answered",
        "cancel",
        "closed_early",
        "connected",
        "failing",
        "group",
        "name",
        "note_failure",
        "peers",
        "pick",
        "pick_this",
        "places",
        "release",
        "times",
        "tries",
    )

    def __init__(
        self, upstream: model.Upstream, group: Group, places: tuple[int, ...] = ()
    ) -> None:
        self.name = upstream.name
        self.peers = upstream.peers
        self.group = group
        self.places = places  # on the board: its own, then its peers'
        # As nginx counts what one session may try: addresses that are not `down`, with backups.
        self.tries = sum(not peer.down for peer in upstream.peers)
        self.times = times_of(upstream.method, group)
        self.pick: Callable[[Attempt], int] = method_of(upstream, group, self.times).pick
        self.pick_this = group.pick_this
        self.release = group.release
        self.cancel = group.cancel
        self.connected = group.connected
        self.failing = group.failing
        self.closed_early = group.closed_early
        self.note_failure = group.note_failure
        self.answered = group.answered

    @property
    def unlocked(self) -> int:
        """How often this worker chose without the shared mutex, as its holder did not run."""
        return self.group.unlocked


def times_of(method: model.Method, group: Group) -> Times | None:
    """What keeps the times that a method goes by, if it does."""
    by = method.by if isinstance(method, (model.LeastTime, model.Random)) else ""
    return Times(group, number_of(by)) if by else None


def method_of(upstream: model.Upstream, group: Group, times: Times | None) -> Method:
    """What chooses among the peers of an upstream, as its configuration says."""
    match upstream.method:
        case model.RoundRobin():
            return RoundRobin(upstream.peers, group)
        case model.Hash(consistent=consistent):
            return (Consistent if consistent else Hash)(upstream.peers, group)
        case model.IpHash():
            return IpHash(upstream.peers, group)
        case model.LeastConn():
            return LeastConn(upstream.peers, group)
        case model.LeastTime(inflight=inflight):
            assert times is not None
            return LeastTime(upstream.peers, group, times=times, inflight=inflight)
        case model.Random(two=two):
            return RandomTwo(upstream.peers, group, times) if two else Random(upstream.peers, group)


def place(
    upstream: model.Upstream,
    *,
    placement: Placement,
    board: Board,
    worker: int,
    begins: bool = True,
) -> Upstream:
    """Join an upstream of the model to its places on the board, for the worker of that slot."""
    numbers = server_numbers(upstream.peers)
    at = places(upstream, placement)
    slots = [
        Slot(
            row,
            weight=peer.weight,
            max_conns=peer.max_conns,
            max_fails=peer.max_fails,
            fail_timeout=peer.fail_timeout,
            down=peer.down,
            backup=peer.backup,
            server=numbers[peer.name],
            slow_start=peer.slow_start_ms,
        )
        for row, peer in zip(at[1:], upstream.peers, strict=True)
    ]
    return Upstream(upstream, Group(board, at[0], worker, slots, begins=begins), at)


def places(upstream: model.Upstream, placement: Placement) -> tuple[int, ...]:
    """Where an upstream and its peers are on the board."""
    rows = [placement.peers.taken[key] for key in peer_keys(upstream)]
    return placement.upstreams.taken[upstream.key], *rows
