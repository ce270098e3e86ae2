"""What a run brought: counts, times and the generator's own share of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidegate.bench.generator import Generator
    from tidegate.bench.histogram import Histogram
    from tidegate.bench.plan import Plan

NANO = 1_000_000_000
# From here on the generator itself may be what limits the rates, and lengthens the times.
BUSY = 0.95
# Columns of the tables, in per cent.
PERCENTILES = (50, 90, 99, 99.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """Shares of a core: what this thread ran, and what it waited for one while it could have."""

    ran: float
    waited: float

    @property
    def total(self) -> float:
        """Near one, more work would not have been done."""
        return self.ran + self.waited


class Meter:
    """Says how busy this thread was since the last time it was asked."""

    def __init__(self) -> None:
        self._last = self._read()

    def read(self) -> Busy:
        """The shares since the last call."""
        before, self._last = self._last, self._read()
        span = max(self._last[0] - before[0], 1)
        return Busy(
            ran=(self._last[1] - before[1]) / span, waited=(self._last[2] - before[2]) / span
        )

    def _read(self) -> tuple[int, int, int]:
        try:
            with open("/proc/thread-self/schedstat", encoding="ascii") as file:
                ran, waited = map(int, file.read().split()[:2])
        except (OSError, ValueError):  # a kernel without CONFIG_SCHED_INFO
            ran, waited = time.thread_time_ns(), 0
        return time.monotonic_ns(), ran, waited


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A run that has ended, or stands where a signal stopped it."""

    plan: Plan
    seconds: float
    counts: Mapping[str, int]
    faults: Mapping[str, int]
    codes: Mapping[int, int]
    times: Mapping[str, Histogram]  # by what was timed; empty ones are left out
    busy: Busy
    busiest: float  # of the busiest second

    @property
    def good(self) -> bool:
        """Whether something was let in and nothing went wrong."""
        return self.counts["established"] > 0 and not self.faults


def result_of(
    plan: Plan, generator: Generator, *, seconds: float, busy: Busy, busiest: float
) -> Result:
    """Read a generator."""
    times = {
        "connect": generator.connect_times,
        "CONNACK": generator.connack_times,
        "round trip": generator.round_trips,
        "acknowledgement": generator.acknowledgements,
    }
    return Result(
        plan=plan,
        seconds=seconds,
        counts=generator.counts(),
        faults=generator.faults(),
        codes=generator.codes(),
        times={name: histogram for name, histogram in times.items() if histogram.total},
        busy=busy,
        busiest=busiest,
    )
