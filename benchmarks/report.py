"""What was measured, as a table, as JSON and as a plot."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scenarios import Sample, Scenario

OURS = "tidegate"


@dataclass(slots=True, kw_only=True)
class Results:
    """Samples by scenario and peer, one per round, in the order of the rounds."""

    machine: dict[str, object]
    peers: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    rounds: int = 0
    rows: list[tuple[Scenario, dict[str, list[Sample]]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, scenario: Scenario, samples: dict[str, list[Sample]]) -> None:
        """Keep the samples of a scenario; those of a round that was not finished are left out."""
        whole = min((len(rounds) for rounds in samples.values()), default=0)
        if whole == 0:
            return
        self.rows.append((scenario, {name: rounds[:whole] for name, rounds in samples.items()}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """tidegate's value by another's in the same round: the median and the ends of all rounds."""

    to: str
    median: float
    least: float
    most: float

    def __str__(self) -> str:
        """As it stands in the table."""
        return f"{self.median:.2f} of {self.to} ({self.least:.2f}-{self.most:.2f})"


def middle(rounds: list[Sample], what: str) -> float | None:
    """The median of what was measured."""
    values = values_of(rounds, what)
    return median(values) if values else None


def values_of(rounds: list[Sample], what: str) -> list[float]:
    """One value per round; none where this was not measured."""
    return [value for sample in rounds if (value := getattr(sample, what)) is not None]


def ratios(results: Results, samples: dict[str, list[Sample]], what: str) -> Iterator[Ratio]:
    """Ours to the better of the peers, and to the limit. The better one is so by its median."""
    ours = values_of(samples.get(OURS, []), what)
    if not ours:
        return
    for role in ("peer", "limit"):
        measured = {
            name: values_of(rounds, what)
            for name, rounds in samples.items()
            if results.roles.get(name) == role and values_of(rounds, what)
        }
        if not measured:
            continue
        best = min(measured, key=lambda name: median(measured[name]))
        each = [a / b for a, b in zip(ours, measured[best], strict=True) if b > 0]
        if each:
            yield Ratio(to=best, median=median(each), least=min(each), most=max(each))


def text(results: Results) -> str:
    """The tables."""
    return "\n".join(_text(results))


def _text(results: Results) -> Iterator[str]:
    about = results.machine
    yield ""
    yield (
        f"{about['cores']} cores, {about['processor']}, Linux {about['kernel']},"
        f" load before {about['load_before']}; {results.rounds} rounds; "
        + ", ".join(f"{name} {version}" for name, version in results.peers.items())
    )
    for scenario, samples in results.rows:
        yield ""
        yield {
            "trips": _trips,
            "connects": _trips,
            "memory": _memory,
            "start": _start,
            "storm": _storm,
        }[scenario.kind](results, scenario, samples)

    for failure in results.failures:
        yield f"\nfailed: {failure}"


def _trips(results: Results, scenario: Scenario, samples: dict[str, list[Sample]]) -> str:
    # Workers on the generator's core too make rates and times meaningless.
    alone = scenario.workers == 1
    heads = ["CPU µs", "/s", "p50 µs", "p99 µs"] if alone else ["CPU µs"]
    rows = []
    for name, rounds in samples.items():
        cells = [number(middle(rounds, "cpu"))]
        if alone:
            cells += [
                number(middle(rounds, "rate"), digits=0),
                number(middle(rounds, "p50")),
                number(middle(rounds, "p99")),
            ]
        rows.append((name, cells))
    lines = _table(f"{scenario.title} (per {scenario.unit})", heads, rows)
    lines += _ratio_lines(results, samples, {"CPU": "cpu"} | ({"p50": "p50"} if alone else {}))
    return "\n".join(lines)


def _memory(results: Results, scenario: Scenario, samples: dict[str, list[Sample]]) -> str:
    rows = [
        (name, [number(middle(rounds, "memory"), digits=0)]) for name, rounds in samples.items()
    ]
    lines = _table(f"{scenario.title}: private memory of each", ["bytes"], rows)
    return "\n".join([*lines, *_ratio_lines(results, samples, {"memory": "memory"})])


def _storm(_results: Results, scenario: Scenario, samples: dict[str, list[Sample]]) -> str:
    whats = {
        "p99 µs before": "quiet",
        "p50 µs": "p50",
        "p99 µs": "p99",
        "p99 grew by": "growth",
        "handshakes/s": "rate",
    }
    rows = [
        (name, [number(middle(rounds, what), digits=0) for what in whats.values()])
        for name, rounds in samples.items()
    ]
    return "\n".join(_table(scenario.title, list(whats), rows))


def _start(_results: Results, scenario: Scenario, samples: dict[str, list[Sample]]) -> str:
    rows = []
    for name, rounds in samples.items():
        memory, more = middle(rounds, "memory"), middle(rounds, "per_worker")
        start = middle(rounds, "start")
        cells = [
            number(None if memory is None else memory / 2**20),
            number(None if more is None else more / 2**20),
            number(None if start is None else start * 1000, digits=0),
        ]
        rows.append((name, cells))
    heads = ["MiB, 1 worker", "MiB per further", "ms to 1st conn."]
    return "\n".join(_table(f"{scenario.title}: private memory, start", heads, rows))


def _ratio_lines(
    results: Results, samples: dict[str, list[Sample]], whats: dict[str, str]
) -> list[str]:
    lines = []
    for label, what in whats.items():
        found = [str(ratio) for ratio in ratios(results, samples, what)]
        if found:
            lines.append(f"  {OURS} {label}: " + ", ".join(found))
    return lines


def _table(title: str, heads: list[str], rows: list[tuple[str, list[str]]]) -> list[str]:
    lines = [title, "  " + f"{'':10}" + "".join(f"{head:>17}" for head in heads)]
    return lines + [
        "  " + f"{name:10}" + "".join(f"{cell:>17}" for cell in cells) for name, cells in rows
    ]


def number(value: float | None, *, digits: int = 1) -> str:
    """A number with its thousands, or a dash."""
    return "-" if value is None else f"{value:,.{digits}f}"


def write(results: Results, folder: str) -> Iterator[str]:
    """Write all forms into a folder; the paths, or why one could not be written."""
    for name, put in {"bench.txt": _put_text, "bench.json": _put_json}.items():
        path = os.path.join(folder, name)
        put(results, path)
        yield path
    try:
        import plot  # noqa: PLC0415 needs matplotlib
    except ImportError:
        yield "no plot, for there is no matplotlib"
        return
    path = os.path.join(folder, "bench.png")
    yield path if plot.draw(results, path) else "no plot, for there is nothing to draw"


def _put_text(results: Results, path: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text(results) + "\n")


def _put_json(results: Results, path: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(as_json(results), file, indent=1)


def as_json(results: Results) -> dict[str, Any]:
    """All samples with machine, versions and ratios."""
    return {
        "machine": results.machine,
        "versions": results.peers,
        "rounds": results.rounds,
        "failures": results.failures,
        "scenarios": [
            {
                **asdict(scenario),
                "samples": {
                    name: [asdict(sample) for sample in rounds] for name, rounds in samples.items()
                },
                "ratios": {
                    what: [asdict(ratio) for ratio in ratios(results, samples, what)]
                    for what in ("cpu", "p50", "memory")
                },
            }
            for scenario, samples in results.rows
        ],
    }
