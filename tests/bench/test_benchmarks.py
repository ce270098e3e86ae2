"""`make bench` measures what it says it does, and leaves nothing behind. Figures are not judged."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from lab import proc
from lab.process import read

RUN = Path(__file__).parents[2] / "benchmarks/run.py"


@pytest.fixture
def run(lab, command):
    """Start the benchmark with these words; the program and the folder of its results."""

    def run(*words):
        out = os.path.join(lab.folder, "out")
        return lab.running([command[0], RUN, "--out", out, *words], name="benchmark"), out

    return run


def test_a_run_gives_a_sample_per_round_and_peer(run):
    program, out = run(
        "--quick", "--rounds", "1", "--peers", "tidegate", "relay",
        "--only", "rt-1", "connects", "memory", "start",
    )  # fmt: skip
    assert program.wait(90) == 0, program.tail()
    with open(os.path.join(out, "bench.json"), encoding="utf-8") as file:
        results = json.load(file)
    trips, connects, memory, start = results["scenarios"]
    assert trips["samples"].keys() == {"tidegate", "relay", "direct"}
    for scenario, unit in ((trips, "cpu"), (connects, "cpu"), (memory, "memory")):
        for name in ("tidegate", "relay"):
            assert all(sample[unit] > 0 for sample in scenario["samples"][name])
        ours, limit = scenario["samples"]["tidegate"], scenario["samples"]["relay"]
        (ratio,) = scenario["ratios"][unit]
        each = sorted(a[unit] / b[unit] for a, b in zip(ours, limit, strict=True))
        assert ratio["to"] == "relay"
        assert (ratio["least"], ratio["most"]) == (each[0], each[-1])
    assert all(sample["rate"] > 0 for sample in trips["samples"]["direct"])
    assert start["samples"]["tidegate"][0]["per_worker"] > 0
    text = read(os.path.join(out, "bench.txt"))
    assert "tidegate CPU:" in text
    assert "of relay" in text


def test_an_interrupted_run_ends_what_it_started(run):
    program, _ = run("--only", "rt-100", "--rounds", "50", "--peers", "tidegate", "relay")

    def descendants():
        found, left = [], [program.pid]
        while left:
            more = proc.children(left.pop())
            found += more
            left += more
        return found

    def named(word):
        return any(word in proc.command(pid) for pid in descendants())

    program.wait_until(
        lambda: named("responder") and named("relay") and named("tidegate"), "all run"
    )
    pids = descendants()
    assert program.stop(signal.SIGINT) == 0
    assert [pid for pid in pids if proc.alive(pid)] == []
    assert "interrupted" in program.output()
