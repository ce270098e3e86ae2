"""Shared memory of one instance: counters, and what `group` chooses by."""

WORKER_COUNTERS: int  # 64-bit counters per worker slot
WORKER_GAUGES: int  # so many of them, the first, are gauges; the rest are totals and only grow

class Board:
    """One sparse memfd, mapped once and never grown."""

    @staticmethod
    def create(*, workers: int, upstreams: int, peers: int) -> Board: ...
    @staticmethod
    def attach(fd: int) -> Board:
        """Map the board behind `fd`, which is not kept; ValueError if it is none of ours."""
    fd: int  # the memfd of a created board, to hand to children; -1 when attached
    workers: int
    upstreams: int
    peers: int
    def worker_counters(self, worker: int) -> memoryview:
        """Give the counters of a worker slot, format "Q", written by that worker alone."""
    def serial(self) -> memoryview:
        """Give one "Q": the last connection number given to a session, taken atomically."""
    def forget_worker(self, worker: int) -> None:
        """Take back what a dead worker held: its gauges and its connections to peers.

        To be called before the slot has a new worker; of a living one it would spoil the counts.
        """
    def reset_upstream(self, upstream: int) -> None:
        """Make a slot ready for a new upstream: mutex and position as at the start."""
    def reset_peer(self, peer: int) -> None:
        """Make a row ready for a new peer, of any upstream; nobody may still use it."""
    def renew_peer(self, peer: int) -> bool:
        """Make a row ready for a new peer of its upstream, some of whom may know the former one.

        False, and nothing has changed, while a session has a connection to that; or when the
        upstream's mutex is not to be had.
        """
    def peer_row(self, peer: int) -> PeerRow: ...
    def upstream_row(self, upstream: int) -> UpstreamRow: ...
    def _mutex_address(self, upstream: int) -> int:
        """Tell tests where the pthread mutex is in this process."""

class PeerRow:
    """What the board knows of one peer; a copy."""

    conns: int
    selected: int
    fails: int
    total_fails: int
    checked: int  # whole seconds, CLOCK_MONOTONIC
    accessed: int
    back: int  # ms, CLOCK_MONOTONIC: when `slow_start` began; 0 when it does not run
    early_closes: int
    failed_why: int  # as `Group.note_failure` was told
    failed_at: int  # seconds of CLOCK_REALTIME; 0 is never
    connect_ms: int  # averages that `least_time` goes by; 0 is none yet
    first_byte_ms: int
    last_byte_ms: int
    inflight_ms: int  # average age of those who were under way, at each choice
    inflight: int  # who is under way now; always 0 without `least_time … inflight`

class UpstreamRow:
    """What the board knows of one upstream beside its peers; a copy."""

    deaths: int  # how often the mutex was inherited from a process that died with it
    unlocked: int  # connections counted without the mutex, as its holder did not run
