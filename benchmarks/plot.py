"""The CPU time per round trip and per connection, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from report import middle, values_of

if TYPE_CHECKING:
    from report import Results

COLOURS = {
    "nginx": "#6b9e4f",
    "haproxy": "#4f7fae",
    "tidegate": "#d2691e",
    "relay": "#b5b5b5",
    "openssl": "#8a8a8a",
}


def draw(results: Results, path: str) -> bool:
    """Bars for the median of the rounds, lines from least to most; False where there is none."""
    rows = [row for row in results.rows if row[0].kind in {"trips", "connects"}]
    names = [name for name in results.peers if name in COLOURS]
    if not rows or not names:
        return False
    figure, axes = plt.subplots(figsize=(2.2 + 1.5 * len(rows), 4.5), layout="constrained")
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        heights, below, above = [], [], []
        for _, samples in rows:
            rounds = samples.get(name, [])
            height, values = middle(rounds, "cpu") or 0.0, values_of(rounds, "cpu") or [0.0]
            heights.append(height)
            below.append(height - min(values))
            above.append(max(values) - height)
        axes.bar(
            [row + (place - (len(names) - 1) / 2) * width for row in range(len(rows))],
            heights,
            width,
            yerr=[below, above],
            label=f"{name} {results.peers[name]}",
            color=COLOURS[name],
            error_kw={"linewidth": 0.8},
        )
    axes.set_xticks(range(len(rows)), [scenario.title.replace(", ", "\n") for scenario, _ in rows])
    axes.set_ylabel("CPU time of the proxy, µs (less is better)")
    axes.set_title("per round trip; per connection where they are new")
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True
