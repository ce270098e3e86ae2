"""How many requests there are and were: what `stub_status` tells, in a worker's row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.engine.loop import COUNTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUESTS: Final = COUNTERS.index("requests")
READING: Final = COUNTERS.index("reading")
WRITING: Final = COUNTERS.index("writing")


class Gauges:
    """Counts in place; `counters` is the worker's row, of format "Q".

    `leaving` tells that the worker stops: no connection is kept for another request.
    """

    __slots__ = ("_counters", "_others", "leaving")

    def __init__(self, counters: memoryview, others: Sequence[memoryview] = ()) -> None:
        """`others` are the rows of all workers."""
        self._counters = counters
        self._others = others
        self.leaving = False

    def begin(self) -> None:
        """The first bytes of a request came."""
        self._counters[REQUESTS] += 1
        self._counters[READING] += 1

    def read(self) -> None:
        """Its head is read."""
        self._counters[READING] -= 1
        self._counters[WRITING] += 1

    def end(self, *, read: bool) -> None:
        """It is over; `read` tells whether it came so far."""
        self._counters[WRITING if read else READING] -= 1

    def total(self, place: int) -> int:
        """A counter, of all workers together."""
        return sum(row[place] for row in self._others)
