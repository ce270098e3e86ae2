"""What a run brought: counts, times and the generator's own share of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidegate.bench.codes import reason_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidegate.bench.generator import Generator
    from tidegate.bench.histogram import Histogram
    from tidegate.bench.plan import Plan

NANO = 1_000_000_000
# From here on the generator itself may be what limits the rates, and lengthens the times.
BUSY = 0.95
# A shorter span says nothing: the kernel counts run time in steps of some milliseconds.
SHORTEST = 0.1
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

    def read(self) -> Busy | None:
        """The shares since the last call; None when that was just now."""
        before, self._last = self._last, self._read()
        span = self._last[0] - before[0]
        if span < SHORTEST * NANO:
            return None
        ran = min((self._last[1] - before[1]) / span, 1.0)
        return Busy(ran=ran, waited=min((self._last[2] - before[2]) / span, 1 - ran))

    def _read(self) -> tuple[int, int, int]:
        try:
            with open("/proc/thread-self/schedstat", encoding="ascii") as file:
                ran, waited = map(int, file.read().split()[:2])
        except (OSError, ValueError):  # a kernel without CONFIG_SCHED_INFO
            ran, waited = time.thread_time_ns(), 0
        return time.monotonic_ns(), ran, waited


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How fast it went, per second; None where there was too little to tell."""

    connects: float | None  # from the first try to the last that was let in, without returns
    sent: float | None  # messages
    received: float | None
    since: str  # "all up", or "first up" where they never were


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What was counted until then."""

    time: float
    counts: Mapping[str, int]


class Beginning:
    """From when on messages are counted for the rates."""

    def __init__(self) -> None:
        self._first: Moment | None = None
        self._all: Moment | None = None

    def look(self, now: float, generator: Generator) -> None:
        """To be called several times a second."""
        if self._all is not None:
            return
        counts = generator.counts()
        if self._first is None and counts["established"]:
            self._first = Moment(time=now, counts=counts)
        if generator.settled:
            self._all = Moment(time=now, counts=counts)

    def rates(self, connect_seconds: float, end: Moment) -> Rates:
        """The rates until then; `connect_seconds` as the generator's."""
        start = self._all or self._first or end
        connects, span = end.counts["established"] - end.counts["returned"], end.time - start.time

        def per_second(name: str) -> float | None:
            return (end.counts[name] - start.counts[name]) / span if span >= SHORTEST else None

        return Rates(
            connects=connects / connect_seconds if connects > 1 and connect_seconds else None,
            sent=per_second("sent"),
            received=per_second("received"),
            since="all up" if self._all else "first up",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A run that has ended, or stands where a signal stopped it."""

    plan: Plan
    seconds: float
    counts: Mapping[str, int]
    faults: Mapping[str, int]
    codes: Mapping[str, Mapping[int, int]]  # by packet
    reasons: Mapping[str, Mapping[str, int]]  # of those faults that have some
    tls_terms: tuple[str, str]  # version and cipher of TLS; "" both without it
    times: Mapping[str, Histogram]  # by what was timed; empty ones are left out
    rates: Rates
    busy: Busy | None
    busiest: float | None  # of the busiest second; None in a run too short to tell

    @property
    def good(self) -> bool:
        """Whether something was let in, nothing went wrong, and what was to be sent was."""
        return self.counts["established"] > 0 and not self.faults and not self.unsent

    @property
    def unsent(self) -> int:
        """Messages that were begun, and of which the target did not take the last byte."""
        return self.counts["begun"] - self.counts["sent"]

    @property
    def unanswered(self) -> int:
        """Messages that were sent whole, and whose answer did not come; 0 where there is none."""
        if self.plan.job == "pingpong" or self.plan.qos:
            return max(self.counts["sent"] - self.counts["answered"], 0)
        return 0


def times_of(generator: Generator) -> dict[str, Histogram]:
    """What a generator has timed, by name."""
    return {
        "connect": generator.connect_times,
        "TLS": generator.tls_times,
        "upgrade": generator.upgrade_times,
        "CONNACK": generator.connack_times,
        "round trip": generator.round_trips,
        "acknowledgement": generator.acknowledgements,
    }


def reasons_of(generator: Generator) -> dict[str, dict[str, int]]:
    """How often something failed for which reason, by the names of faults."""
    found: dict[str, dict[str, int]] = {}
    for (name, code, verdict), count in generator.reasons().items():
        texts = found.setdefault(name, {})
        text = reason_text(name, code, verdict)
        texts[text] = texts.get(text, 0) + count
    return found


def result_of(
    plan: Plan,
    generator: Generator,
    *,
    seconds: float,
    rates: Rates,
    busy: Busy | None,
    busiest: float | None,
) -> Result:
    """Read a generator."""
    return Result(
        plan=plan,
        seconds=seconds,
        counts=generator.counts(),
        faults=generator.faults(),
        codes=generator.codes(),
        reasons=reasons_of(generator),
        tls_terms=generator.tls_terms,
        times={name: times for name, times in times_of(generator).items() if times.total},
        rates=rates,
        busy=busy,
        busiest=busiest,
    )
