"""A result as a person reads it, and as a program does."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from tidegate.bench.result import BUSY, PERCENTILES
from tidegate.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tidegate.bench.histogram import Histogram
    from tidegate.bench.result import Result

MICRO, MILLI, SECOND = 1_000, 1_000_000, 1_000_000_000


def summary(result: Result) -> str:
    """The text that ends a run."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: Result) -> Iterator[str]:
    plan, counts, span = result.plan, result.counts, max(result.seconds, 1e-9)
    what = "bytes echoed" if plan.echo else f"MQTT {plan.version}, keepalive {plan.keepalive} s"
    yield f"target       {plan.target}, {what}"
    yield (
        f"connections  {counts['established']:,} of {counts['tried']:,} let in"
        f" ({counts['established'] / span:,.1f}/s), {counts['open']:,} open at the end"
    )
    if counts["sent"] or counts["received"]:
        yield (
            f"messages     {counts['sent']:,} sent ({counts['sent'] / span:,.1f}/s),"
            f" {counts['received']:,} received ({counts['received'] / span:,.1f}/s)"
        )
        if counts["late"]:
            yield f"             {counts['late']:,} not sent: behind the schedule"
    yield (
        f"bytes        {_bytes(counts['bytes_sent'])} sent,"
        f" {_bytes(counts['bytes_received'])} received in {result.seconds:.1f} s"
    )
    if result.times:
        yield ""
        yield from table(result.times)
        yield ""
    yield f"errors       {errors(result.faults, result.codes) or 'none'}"
    yield (
        f"generator    {result.busy.ran:.0%} of a core"
        + (f", {result.busy.waited:.0%} waiting for one" if result.busy.waited >= BUSY / 10 else "")
        + (f"; busiest second {result.busiest:.0%}: it is the limit" if limits(result) else "")
    )


def limits(result: Result) -> bool:
    """Whether the generator was the limit in some second."""
    return result.busiest >= BUSY


def table(times: Mapping[str, Histogram]) -> Iterator[str]:
    """One row per histogram."""
    heads = [*(f"p{percent:g}" for percent in PERCENTILES), "max", "count"]
    yield f"{'':16}" + "".join(f"{head:>12}" for head in heads)
    for name, histogram in times.items():
        cells = [duration(histogram.percentile(percent)) for percent in PERCENTILES]
        cells += [duration(histogram.most), f"{histogram.total:,}"]
        yield f"{name:16}" + "".join(f"{cell:>12}" for cell in cells)


def errors(faults: Mapping[str, int], codes: Mapping[int, int]) -> str:
    """The errors by class, the CONNACK codes behind theirs."""
    parts = []
    for name, count in faults.items():
        part = f"{name} {count:,}"
        if name == "rejected by CONNACK":
            part += f" ({', '.join(f'0x{code:02x}: {n:,}' for code, n in codes.items())})"
        parts.append(part)
    return ", ".join(parts)


def duration(nanoseconds: float) -> str:
    """A time with three digits and its unit."""
    if nanoseconds < MILLI:
        return f"{nanoseconds / MICRO:.3g} µs" if nanoseconds < 1e6 - 500 else "1 ms"
    if nanoseconds < SECOND:
        return f"{nanoseconds / MILLI:.3g} ms" if nanoseconds < 1e9 - 5e5 else "1 s"
    return f"{nanoseconds / SECOND:.3g} s"


def _bytes(count: int) -> str:
    for unit, size in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} B"


def as_json(result: Result) -> dict[str, Any]:
    """All of it; times in seconds."""
    plan = result.plan
    return {
        "tidegate": VERSION,
        "machine": {
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
        },
        "verb": plan.job,
        "target": plan.target,
        "version": None if plan.echo else plan.version,
        "count": plan.count,
        "qos": plan.qos,
        "size": len(plan.payload),
        "seconds": result.seconds,
        "counts": dict(result.counts),
        "errors": dict(result.faults),
        "connack_codes": {f"0x{code:02x}": count for code, count in result.codes.items()},
        "times": {name.replace(" ", "_").lower(): times(h) for name, h in result.times.items()},
        "generator": {
            "ran": result.busy.ran,
            "waited": result.busy.waited,
            "busiest_second": result.busiest,
            "was_the_limit": limits(result),
        },
    }


def times(histogram: Histogram) -> dict[str, float]:
    """The numbers of one histogram, in seconds."""
    found = {f"p{percent:g}": histogram.percentile(percent) / SECOND for percent in PERCENTILES}
    return {
        "count": histogram.total,
        "min": histogram.least / SECOND,
        **found,
        "max": histogram.most / SECOND,
    }
