"""How many clients were refused for what they sent, by reason: a worker's row of the scoreboard."""

from __future__ import annotations

from tidegate.mqtt.errors import Fault

# The engine's counters come before.
FIRST = 16
REASONS = (
    Fault.NOT_CONNECT,
    Fault.UNSUPPORTED_VERSION,
    Fault.MALFORMED,
    Fault.OVERSIZE,
    Fault.VALUE,
)


class Refusals:
    """Counts in place; `counters` is the row of the worker, format "Q"."""

    __slots__ = ("_counters",)

    def __init__(self, counters: memoryview) -> None:
        self._counters = counters

    def count(self, reason: Fault) -> None:
        """One more."""
        self._counters[FIRST + REASONS.index(reason)] += 1


def read_refusals(counters: memoryview) -> dict[str, int]:
    """What was counted in a row, by the reason's word."""
    return {str(reason): counters[FIRST + place] for place, reason in enumerate(REASONS)}
