"""One run: turns the generator, shows a status line, listens to Ctrl-C, ends with a result."""

from __future__ import annotations

import contextlib
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING, Self

from tidegate.bench.plan import PlanError, make_generator
from tidegate.bench.report import duration, errors
from tidegate.bench.result import Meter, result_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from tidegate.bench.generator import Generator
    from tidegate.bench.histogram import Histogram
    from tidegate.bench.plan import Plan
    from tidegate.bench.result import Result

# How long a signal may have to wait.
SLICE = 0.1
# Seconds between two status lines: on a terminal the line is written over.
EACH = 1.0
EACH_WITHOUT_TERMINAL = 5.0
# Descriptors that are not connections.
OURS = 32


class Stop:
    """Becomes true with the first SIGINT or SIGTERM; a second one is Python's own matter."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(number, self._before[number])  # type: ignore[arg-type]


def run(plan: Plan, *, quiet: bool = False) -> Result:
    """Carry out a plan, with status lines on stderr unless `quiet`; PlanError when it cannot be."""
    raise_descriptor_limit(plan.count)
    with Stop() as stop, contextlib.closing(make_generator(plan)) as generator:
        start = second = time.monotonic()
        whole, each, busiest = Meter(), Meter(), 0.0
        status = None if quiet else Status(plan, generator, start)
        for now in turns(plan, generator, stop):
            if now - second >= 1:
                second, busiest = now, max(busiest, each.read().total)
            if status is not None:
                status.show(now)
        if status is not None:
            status.end()
        busy = whole.read()
        return result_of(
            plan,
            generator,
            seconds=time.monotonic() - start,
            busy=busy,
            busiest=busiest or busy.total,
        )


def turns(plan: Plan, generator: Generator, stop: Stop) -> Iterator[float]:
    """Run the generator until the end of the plan; the time, about each SLICE."""
    start = now = time.monotonic()
    until = float("inf") if plan.seconds is None else start + plan.seconds
    while now < until and not stop.asked and not over(plan, generator):
        generator.run(min(SLICE, until - now))
        now = time.monotonic()
        yield now


def over(plan: Plan, generator: Generator) -> bool:
    """Whether nothing can happen any more."""
    if generator.done:
        return True
    return not plan.reconnect and generator.settled and generator.counts()["open"] == 0


def raise_descriptor_limit(count: int) -> None:
    """Make room for so many connections; PlanError when we may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + OURS
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise PlanError(
            f"{count:,} connections need {needed:,} descriptors, this process may have {hard:,}:"
            " use fewer, or raise the hard limit (ulimit -Hn)"
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class Status:
    """The line that tells how it goes."""

    def __init__(self, plan: Plan, generator: Generator, start: float) -> None:
        self._plan = plan
        self._generator = generator
        self._start = self._last = start
        self._terminal = sys.stderr.isatty()
        self._each = EACH if self._terminal else EACH_WITHOUT_TERMINAL
        self._before = generator.counts()

    def show(self, now: float) -> None:
        """Write the line, if it is time."""
        if now - self._last < self._each:
            return
        line = self._line(now)
        sys.stderr.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Take the line away."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _line(self, now: float) -> str:
        plan, counts = self._plan, self._generator.counts()
        span = now - self._last

        def rate(name: str) -> str:
            return f"{(counts[name] - self._before[name]) / span:,.0f}/s"

        parts = [
            f"{now - self._start:.0f}s",
            f"conns {counts['open']:,}/{plan.count:,} +{rate('established')}",
        ]
        if counts["sent"]:
            parts.append(f"sent {rate('sent')}")
        if counts["received"]:
            parts.append(f"received {rate('received')}")
        faults = self._generator.faults()
        if faults:
            said = errors(faults, self._generator.codes())
            parts.append(f"failed {sum(faults.values()):,} ({said})")
        times = self._times()
        if times.total:
            parts.append(f"p50 {duration(times.percentile(50))}")
            parts.append(f"p99 {duration(times.percentile(99))}")
        self._last, self._before = now, counts
        return "  ".join(parts)

    def _times(self) -> Histogram:
        for times in (
            self._generator.round_trips,
            self._generator.acknowledgements,
            self._generator.connack_times,
        ):
            if times.total:
                return times
        return self._generator.connect_times
