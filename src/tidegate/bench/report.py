"""A result as a person reads it, and as a program does."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tidegate.bench.codes import FAULTS, code_name
from tidegate.bench.result import BUSY, PERCENTILES
from tidegate.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tidegate.bench.histogram import Histogram
    from tidegate.bench.result import Busy, Result

MICRO, MILLI, SECOND = 1_000, 1_000_000, 1_000_000_000


def summary(result: Result) -> str:
    """The text that ends a run."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: Result) -> Iterator[str]:
    plan, counts = result.plan, result.counts
    what = "bytes echoed" if plan.echo else f"MQTT {plan.version}, keepalive {plan.keepalive} s"
    if plan.path is not None:
        what = f"WebSocket {plan.path}, {what}"
    yield f"target       {plan.target}, {what}"
    yield from _tls(result)
    yield (
        f"connections  {counts['established']:,} of {counts['tried']:,} let in"
        f"{_rate(result.rates.connects)}, {counts['open']:,} open at the end"
    )
    if counts["returned"]:
        yield f"             {counts['returned']:,} were lost and came back"
    yield from _messages(result)
    yield (
        f"bytes        {_bytes(counts['bytes_sent'])} sent,"
        f" {_bytes(counts['bytes_received'])} received in {result.seconds:.1f} s"
    )
    if result.times:
        yield ""
        yield from table(result.times)
        yield ""
    said = errors(result.faults, result.codes, result.reasons, version=plan.version)
    yield f"errors       {said or 'none'}"
    if result.busy is not None:
        yield _generator(result, result.busy)


def _tls(result: Result) -> Iterator[str]:
    version, cipher = result.tls_terms
    if version:
        counts = result.counts
        yield (
            f"TLS          {version}, {cipher}; {counts['secured']:,} handshakes,"
            f" {counts['resumed']:,} of them resumed"
        )


def _messages(result: Result) -> Iterator[str]:
    counts, rates = result.counts, result.rates
    if not counts["begun"] and not counts["received"]:
        return
    yield (
        f"messages     {counts['sent']:,} sent{_rate(rates.sent)},"
        f" {counts['received']:,} received{_rate(rates.received)}"
    )
    if rates.sent is not None:
        when = "all connections were" if rates.since == "all up" else "the first connection was"
        yield f"             rates are from when {when} up"
    if counts["late"]:
        yield f"             {counts['late']:,} not sent: behind the schedule"
    if result.unsent:
        yield f"             {result.unsent:,} not delivered: the target did not take them whole"
    if result.unanswered:
        what = "did not come back" if result.plan.job == "pingpong" else "not acknowledged"
        yield f"             {result.unanswered:,} {what}"


def _generator(result: Result, busy: Busy) -> str:
    return (
        f"generator    {busy.ran:.0%} of a core"
        + (f", {busy.waited:.0%} waiting for one" if busy.waited >= BUSY / 10 else "")
        + (f"; busiest second {result.busiest:.0%}: it is the limit" if limits(result) else "")
    )


def _rate(value: float | None) -> str:
    return "" if value is None else f" ({value:,.1f}/s)"


def limits(result: Result) -> bool:
    """Whether the generator was the limit in some second."""
    return result.busiest is not None and result.busiest >= BUSY


def table(times: Mapping[str, Histogram]) -> Iterator[str]:
    """One row per histogram."""
    heads = [*(f"p{percent:g}" for percent in PERCENTILES), "max", "count"]
    yield f"{'':16}" + "".join(f"{head:>12}" for head in heads)
    for name, histogram in times.items():
        cells = [duration(histogram.percentile(percent)) for percent in PERCENTILES]
        cells += [duration(histogram.most), f"{histogram.total:,}"]
        yield f"{name:16}" + "".join(f"{cell:>12}" for cell in cells)


def errors(
    faults: Mapping[str, int],
    codes: Mapping[str, Mapping[int, int]],
    reasons: Mapping[str, Mapping[str, int]],
    *,
    version: str,
) -> str:
    """The errors by class, codes of packets and reasons behind theirs."""
    parts = []
    for name, count in faults.items():
        packet = FAULTS.get(name, "")
        said = ", ".join(
            f"{code_name(packet, code, version=version)}: {n:,}"
            for code, n in codes.get(packet, {}).items()
        )
        if name in reasons:
            said = ", ".join(f"{reason}: {n:,}" for reason, n in reasons[name].items())
        parts.append(f"{name} {count:,}" + (f" ({said})" if said else ""))
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
        "reasons": {name: dict(texts) for name, texts in result.reasons.items()},
        "codes": {
            packet: {f"0x{code:02x}": count for code, count in codes.items()}
            for packet, codes in result.codes.items()
        },
        "tls": {
            "version": result.tls_terms[0],
            "cipher": result.tls_terms[1],
        }
        if plan.tls is not None
        else None,
        "not_delivered": result.unsent,
        "not_answered": result.unanswered,
        "rates": asdict(result.rates),
        "times": {name.replace(" ", "_").lower(): times(h) for name, h in result.times.items()},
        "generator": {
            "ran": result.busy and result.busy.ran,
            "waited": result.busy and result.busy.waited,
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
