"""The line on stderr that tells each second how it goes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tidegate.bench.histogram import Histogram
from tidegate.bench.report import duration, errors
from tidegate.bench.result import Meter, reasons_of, times_of

if TYPE_CHECKING:
    from tidegate.bench.generator import Generator
    from tidegate.bench.plan import Plan

EACH = 1.0


class Status:
    """Written over on a terminal, one below the other elsewhere; of the second that has passed."""

    def __init__(self, plan: Plan, generator: Generator, start: float) -> None:
        self._plan = plan
        self._generator = generator
        self._start = self._last = start
        self._terminal = sys.stderr.isatty()
        self._before = generator.counts()
        self._times = {name: Histogram() for name in times_of(generator)}
        self._meter = Meter()

    def show(self, now: float) -> None:
        """Write the line, if it is time."""
        if now - self._last < EACH:
            return
        line = self._line(now)
        self._write(f"\r\x1b[K{line[: _width() - 1]}" if self._terminal else f"{line}\n")

    def end(self) -> None:
        """Take the line away."""
        if self._terminal:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            # Nobody reads it, or the disk is full: the run goes on, its result is elsewhere.
            self._terminal = False

    def _line(self, now: float) -> str:
        plan, counts = self._plan, self._generator.counts()
        span = now - self._last

        def rate(name: str) -> str:
            return f"{(counts[name] - self._before[name]) / span:,.0f}/s"

        parts = [
            f"{now - self._start:.0f}s",
            f"conns {counts['open']:,}/{plan.count:,} +{rate('established')}",
        ]
        if counts["begun"]:
            parts.append(f"sent {rate('sent')}")
        if counts["received"]:
            parts.append(f"received {rate('received')}")
        parts += self._percentiles()
        busy = self._meter.read()
        if busy is not None:
            parts.append(f"own CPU {busy.ran:.0%}")
        faults = self._generator.faults()
        if faults:
            codes, reasons = self._generator.codes(), reasons_of(self._generator)
            said = errors(faults, codes, reasons, version=plan.version)
            parts.append(f"failed {sum(faults.values()):,} ({said})")
        self._last, self._before = now, counts
        return "  ".join(parts)

    def _percentiles(self) -> list[str]:
        """What this second was waited for: an answer, else a CONNACK, else a connection."""
        shown: list[str] = []
        for name, whole in times_of(self._generator).items():
            recent = whole.since(self._times[name])
            if recent.total == 0:
                continue
            self._times[name] = Histogram()
            self._times[name].add(whole)
            p50, p99 = duration(recent.percentile(50)), duration(recent.percentile(99))
            shown = [f"{name} p50 {p50} p99 {p99}"]
        return shown


def _width() -> int:
    """Columns of the terminal."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
