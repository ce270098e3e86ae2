"""How many clients sent no CONNECT that can be used, by reason: a worker's row of the scoreboard.

Most are refused; without `mqtt_require` some are passed on unread instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.mqtt.errors import Fault

if TYPE_CHECKING:
    from tidegate.scoreboard.board import Board

# The engine's counters come before.
FIRST = 16
REASONS = (
    Fault.NOT_CONNECT,
    Fault.UNSUPPORTED_VERSION,
    Fault.MALFORMED,
    Fault.OVERSIZE,
    Fault.VALUE,
)
# What else passes unread never meant to be MQTT.
PASSED = (Fault.UNSUPPORTED_VERSION, Fault.MALFORMED)
FIRST_PASSED = FIRST + len(REASONS)


class Refusals:
    """Counts in place; `counters` is the row of the worker, format "Q"."""

    __slots__ = ("_counters",)

    def __init__(self, counters: memoryview) -> None:
        self._counters = counters

    def count(self, reason: Fault) -> None:
        """One more that was refused."""
        self._counters[FIRST + REASONS.index(reason)] += 1

    def count_passed(self, reason: Fault) -> None:
        """One more that was passed on unread; `reason` is one of PASSED."""
        self._counters[FIRST_PASSED + PASSED.index(reason)] += 1


def read_refusals(counters: memoryview) -> dict[str, int]:
    """How many were refused in a row, by the reason's word."""
    return {str(reason): counters[FIRST + place] for place, reason in enumerate(REASONS)}


def read_passed(counters: memoryview) -> dict[str, int]:
    """How many were passed on unread in a row, by the reason's word."""
    return {str(reason): counters[FIRST_PASSED + place] for place, reason in enumerate(PASSED)}


def totals(board: Board) -> dict[str, dict[str, int]]:
    """Both of all workers that there were since the start, ready for JSON."""
    rows = [board.worker_counters(slot) for slot in range(board.workers)]
    return {
        name: {str(reason): sum(read(row)[str(reason)] for row in rows) for reason in reasons}
        for name, reasons, read in (
            ("refused", REASONS, read_refusals),
            ("passed_unread", PASSED, read_passed),
        )
    }
