"""One run: turns the generator, shows a status line, listens to Ctrl-C, ends with a result."""

from __future__ import annotations

import contextlib
import resource
import signal
import time
from typing import TYPE_CHECKING, Self

from tidegate.bench.plan import PlanError, make_generator
from tidegate.bench.result import Beginning, Meter, Moment, result_of
from tidegate.bench.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from tidegate.bench.generator import Generator
    from tidegate.bench.plan import Plan
    from tidegate.bench.result import Result

# How long a signal may have to wait.
SLICE = 0.1
# How long the end of a run waits for what is on its way.
AT_THE_END = 1.0
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
        start = time.monotonic()
        whole, busiest, beginning = Meter(), Busiest(start), Beginning()
        status = None if quiet else Status(plan, generator, start)
        for now in turns(plan, generator, stop):
            busiest.look(now)
            beginning.look(now, generator)
            if status is not None:
                status.show(now)
        end = Moment(time=time.monotonic(), counts=generator.counts())
        busy = whole.read()
        finish(plan, generator)
        if status is not None:
            status.end()
        return result_of(
            plan,
            generator,
            seconds=end.time - start,
            rates=beginning.rates(generator.connect_seconds, end),
            busy=busy,
            busiest=busiest.share or (busy.total if busy else None),
        )


class Busiest:
    """How busy this thread was in its busiest second; None before the first is over."""

    def __init__(self, start: float) -> None:
        self.share: float | None = None
        self._meter = Meter()
        self._second = start

    def look(self, now: float) -> None:
        """To be called several times a second."""
        if now - self._second < 1:
            return
        self._second = now
        if busy := self._meter.read():
            self.share = max(self.share or 0, busy.total)


def finish(plan: Plan, generator: Generator) -> None:
    """Let messages that are on their way arrive."""
    generator.finish()
    end = time.monotonic() + min(plan.timeout, AT_THE_END)
    while not generator.done and (left := end - time.monotonic()) > 0:
        generator.run(left)


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
    counts = generator.counts()
    return generator.settled and counts["open"] == counts["returning"] == 0 and not plan.reconnect


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
