"""How long nodes take: what `least_time` goes by, told by sessions as they learn of it.

nginx learns of all times when a session ends, which for MQTT is days later. Here a time counts from
the moment that it is known to the program. As in nginx only sessions that were served count, lest a
node be preferred for the speed at which it refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from tidegate.scoreboard.group import TIMES

if TYPE_CHECKING:
    from tidegate.balance.attempt import Attempt
    from tidegate.scoreboard.group import Group

CONNECT: Final = TIMES.index("connect")
FIRST_BYTE: Final = TIMES.index("first_byte")
LAST_BYTE: Final = TIMES.index("last_byte")
# What http has in the place of the first byte: the whole head of an answer.
HEADER: Final = "header"

# Bits of what an attempt has noted of the node in hand.
NOTED_CONNECT: Final = 1
NOTED_FIRST_BYTE: Final = 2
NOT_SERVED: Final = 4


class Report(Protocol):
    """What is read of the engine's report of a session; milliseconds, -1 is not known."""

    connect_ms: int
    first_byte_ms: int
    upstream_ms: int


def number_of(by: str) -> int:
    """The place in TIMES of what the configuration calls `by`."""
    return FIRST_BYTE if by == HEADER else TIMES.index(by)


class Times:
    """The averages of one upstream; `by` is the place in TIMES of that which chooses.

    An attempt that was let go of, None, is one of which all but the end was noted.
    """

    __slots__ = ("_group", "by")

    def __init__(self, group: Group, by: int) -> None:
        self._group = group
        self.by = by

    def connected(self, attempt: Attempt, index: int, report: Report) -> None:
        """The node took the connection."""
        self._note(attempt, index, connect=report.connect_ms)

    def answered(
        self, attempt: Attempt | None, index: int, report: Report, *, first_ms: int
    ) -> None:
        """The node said its first words, `first_ms` after it was asked."""
        if attempt is not None:
            self._note(attempt, index, connect=report.connect_ms, first_byte=first_ms)

    def not_served(self, attempt: Attempt | None) -> None:
        """What the node does for this session tells nothing of its speed."""
        if attempt is not None:
            attempt.noted |= NOT_SERVED

    def over(self, attempt: Attempt | None, index: int, report: Report) -> None:
        """A session that was served has ended."""
        if attempt is None:
            self._group.note_times(index, connect=-1, first_byte=-1, last_byte=report.upstream_ms)
        else:
            self._note(
                attempt,
                index,
                connect=report.connect_ms,
                first_byte=report.first_byte_ms,
                last_byte=report.upstream_ms,
            )

    def left(self, attempt: Attempt | None) -> None:
        """The session is not under way to a node any more, however that came."""
        if attempt is not None and attempt.took_off >= 0:
            self._group.land(attempt.flies_to, attempt.took_off)
            attempt.took_off = -1

    def is_done_with(self, attempt: Attempt) -> bool:
        """Whether the attempt holds nothing that is asked for later."""
        both = NOTED_CONNECT | NOTED_FIRST_BYTE
        return attempt.took_off < 0 and attempt.noted == both

    def _note(
        self,
        attempt: Attempt,
        index: int,
        *,
        connect: int,
        first_byte: int = -1,
        last_byte: int = -1,
    ) -> None:
        """Note what was not yet noted; who waited for the time that chooses has landed."""
        known = (connect, first_byte, last_byte)
        if known[self.by] >= 0:
            self.left(attempt)
        if attempt.noted & NOT_SERVED:
            return
        if attempt.noted & NOTED_CONNECT:
            connect = -1
        if attempt.noted & NOTED_FIRST_BYTE:
            first_byte = -1
        if connect >= 0:
            attempt.noted |= NOTED_CONNECT
        if first_byte >= 0:
            attempt.noted |= NOTED_FIRST_BYTE
        self._group.note_times(index, connect=connect, first_byte=first_byte, last_byte=last_byte)
