"""Shared memory of one instance: counters, and the state by which all workers choose alike."""

from collections.abc import Sequence

WORKER_COUNTERS: int  # 64-bit counters per worker slot

class Board:
    """One sparse memfd, mapped once and never grown."""

    @staticmethod
    def create(*, workers: int, upstreams: int, peers: int) -> Board: ...
    @staticmethod
    def attach(fd: int) -> Board:
        """Map the board behind `fd` (the descriptor is not kept); ValueError if it is none of ours."""
    fd: int  # the memfd of a created board, to hand to children; -1 when attached
    workers: int
    upstreams: int
    peers: int
    def worker_counters(self, worker: int) -> memoryview:
        """The counters of a worker slot, format "Q", written by that worker alone."""
    def serial(self) -> memoryview:
        """One "Q": the last connection number given to a session, taken atomically."""
    def forget_worker(self, worker: int) -> None:
        """Take back what a dead worker held: its gauges and its connections to peers."""
    def reset_upstream(self, upstream: int) -> None:
        """A slot that is to be used anew: mutex and position as at the start."""
    def reset_peer(self, peer: int) -> None: ...
    def peer_row(self, peer: int) -> PeerRow: ...

class PeerRow:
    """What the board knows of one peer; a copy."""

    conns: int
    selected: int
    fails: int
    total_fails: int
    checked: int  # whole seconds, CLOCK_MONOTONIC
    accessed: int
    early_closes: int

class Slot:
    """One peer as a group needs it: its row and its configured numbers."""

    def __init__(
        self,
        row: int,
        *,
        weight: int,
        max_conns: int,
        max_fails: int,
        fail_timeout: int,
        down: bool,
        backup: bool,
    ) -> None: ...

class Group:
    """One upstream as one worker sees it. Every method takes the upstream's mutex."""

    def __init__(self, board: Board, upstream: int, worker: int, slots: Sequence[Slot]) -> None: ...
    def pick_round_robin(self, tried: bytearray | None = None) -> int:
        """Choose and reserve a peer by smooth weighted round robin (nginx's rules B0, B1).

        `tried` has one byte per peer, 1 where this session was already; chosen peers are marked in
        it. Falls back to the backup peers (clearing `tried` as nginx does). Returns an index into
        `slots`, or -1 when no peer is live.
        """
    def release(self, index: int, *, failed: bool) -> bool:
        """Give a reserved peer back; True when this failure has just taken it out of service."""
    def connected(self, index: int) -> None:
        """A connect succeeded: forget failures, where nginx does."""
    def failing(self, index: int) -> bool:
        """Whether the peer has failures counted, so that `connected` would matter; takes no lock."""
    def closed_early(self, index: int) -> int:
        """One more session that the peer closed before its first byte; returns how many in a row."""
    def answered(self, index: int) -> None:
        """The peer sent something: the row of early closes ends."""
    unlocked: int  # how often the mutex was not got within 10 ms and the choice made without it
