"""The state by which all workers choose alike, on a `Board`."""

from collections.abc import Sequence
from typing import Final

from tidegate.scoreboard.board import Board

# What `least_time` may go by, in the order of its numbers: connect, first_byte, last_byte.
TIMES: Final[tuple[str, ...]]

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
        server: int = 0,  # the same for all addresses of one `server`
        slow_start: int = 0,  # ms
    ) -> None: ...

class Group:
    """One upstream as one worker sees it.

    The first group that begins with other rows, weights or backups than the one before it in this
    upstream starts the round anew; connections and failures of peers that stay are kept. One made
    with `begins=False` changes nothing before `begin()`, and must not choose before it.

    `slow_start` of a peer runs from when failures that had taken it out of service are forgotten,
    and from when a group begins with it that had it `down`, or had others of its peers without it.
    """

    clock: int  # for tests: the second it is; -1 asks the system
    clock_ms: int  # the same of the millisecond

    def __init__(
        self,
        board: Board,
        upstream: int,
        worker: int,
        slots: Sequence[Slot],
        *,
        begins: bool = True,
    ) -> None: ...
    def begin(self) -> None: ...
    def pick_round_robin(self, tried: bytearray | None = None) -> int:
        """Choose and reserve a peer by smooth weighted round robin (nginx's rules B0, B1).

        `tried` has one byte per peer, 1 where this session was already; chosen peers are marked in
        it. Falls back to the backup peers, and marks all primaries then: as in nginx a session
        that went over to the backups stays with them. Returns an index into `slots`, or -1 when
        no peer is live.
        """
    def pick_least_conn(self, tried: bytearray | None = None) -> int:
        """Choose and reserve the peer with the fewest connections for its weight (B4).

        By round robin where several have equally few. `tried`, backups and the result are as with
        `pick_round_robin`.
        """
    def pick_least_time(self, by: int, *, inflight: bool, tried: bytearray | None = None) -> int:
        """Choose and reserve the peer that has done what it has, and one more, soonest (B7).

        `by` is the place in TIMES of the average that tells how long one takes.
        With `inflight` it is no less than the mean age of those who are under way, and the chosen
        one is from now on: `took_off` is to be told to `land`. By round robin where several are as
        soon. `tried`, backups and the result are as with `pick_round_robin`.
        """
    took_off: int  # milliseconds at which the last choice by time took off; -1 when it did not
    def pick_of_server(self, server: int, tried: bytearray | None = None) -> int:
        """Choose and reserve one primary of `server` by round robin; -1 when none is live."""
    def pick_this(self, index: int, tried: bytearray | None = None) -> bool:
        """Reserve this very peer, if it is live; the round robin stays where it is."""
    def pick_lighter(self, first: int, second: int, tried: bytearray | None = None) -> int:
        """Reserve that of two peers which has fewer connections for its weight.

        `second` when they have equally few; -1 unless both are live.
        """
    def pick_quicker(self, by: int, first: int, second: int, tried: bytearray | None = None) -> int:
        """As `pick_lighter`, by the time that each of two peers will take."""
    def live(self, index: int, tried: bytearray | None = None) -> bool:
        """Tell whether a peer may be chosen now (B0); takes no lock."""
    def note_failure(self, index: int, why: int, at: int) -> None:
        """Keep why and when (CLOCK_REALTIME) a peer failed last, for people to read."""
    def release(self, index: int, *, failed: bool) -> bool:
        """Give a reserved peer back; True when this failure has just taken it out of service.

        ValueError when the worker holds no connection to the peer.
        """
    def cancel(self, index: int) -> None:
        """Give back a peer that was not asked, for a fault of ours; its failures stay."""
    def note_times(self, index: int, *, connect: int, first_byte: int, last_byte: int) -> None:
        """Let milliseconds that a session took move the averages; -1 leaves an average."""
    def land(self, index: int, took_off: int) -> None:
        """Count one less under way, who took off then; ValueError when there is none."""
    def connected(self, index: int) -> None:
        """Forget failures, where nginx does, as a connect succeeded."""
    def failing(self, index: int) -> bool:
        """Tell whether failures are counted, so that `connected` would matter; takes no lock."""
    def closed_early(self, index: int) -> int:
        """Count a session that the peer closed before its first byte; returns how many in a row."""
    def answered(self, index: int) -> None:
        """End the row of early closes, as the peer sent something."""
    unlocked: int  # how often the mutex was not got within 10 ms and the choice made without it
