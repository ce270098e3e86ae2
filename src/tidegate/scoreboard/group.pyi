"""The state by which all workers choose alike, on a `Board`."""

from collections.abc import Sequence

from tidegate.scoreboard.board import Board

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
    ) -> None: ...

class Group:
    """One upstream as one worker sees it.

    The first group that begins with other rows, weights or backups than the one before it in this
    upstream starts the round anew; connections and failures of peers that stay are kept. One made
    with `begins=False` changes nothing before `begin()`, and must not choose before it.
    """

    clock: int  # for tests: the second it is; -1 asks the system

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
    def pick_of_server(self, server: int, tried: bytearray | None = None) -> int:
        """Choose and reserve one primary of `server` by round robin; -1 when none is live."""
    def pick_this(self, index: int, tried: bytearray | None = None) -> bool:
        """Reserve this very peer, if it is live; the round robin stays where it is."""
    def pick_lighter(self, first: int, second: int, tried: bytearray | None = None) -> int:
        """Reserve that of two peers which has fewer connections for its weight.

        `second` when they have equally few; -1 unless both are live.
        """
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
    def connected(self, index: int) -> None:
        """Forget failures, where nginx does, as a connect succeeded."""
    def failing(self, index: int) -> bool:
        """Tell whether failures are counted, so that `connected` would matter; takes no lock."""
    def closed_early(self, index: int) -> int:
        """Count a session that the peer closed before its first byte; returns how many in a row."""
    def answered(self, index: int) -> None:
        """End the row of early closes, as the peer sent something."""
    unlocked: int  # how often the mutex was not got within 10 ms and the choice made without it
