"""`make bench` measures what it says it does, and leaves nothing behind. Figures are not judged."""

from __future__ import annotations

import contextlib
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

    def run(*words, **environ):
        out = os.path.join(lab.folder, "out")
        prefix = ("env", *(f"{name}={value}" for name, value in environ.items()))
        argv = [command[0], RUN, "--out", out, *words]
        return lab.running(argv, name="benchmark", prefix=prefix), out

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


def descendants(program):
    found, left = [], [program.pid]
    while left:
        more = proc.children(left.pop())
        found += more
        left += more
    return found


def named(program, word):
    return [pid for pid in descendants(program) if word in proc.command(pid)]


def test_an_interrupted_run_ends_what_it_started(run):
    program, _ = run("--only", "rt-100", "--rounds", "50", "--peers", "tidegate", "relay")
    program.wait_until(
        lambda: all(named(program, word) for word in ("responder", "relay", "tidegate")), "all run"
    )
    pids = descendants(program)
    assert program.stop(signal.SIGINT) == 0
    assert [pid for pid in pids if proc.alive(pid)] == []
    assert "interrupted" in program.output()


def busy(pid):
    """Whether a process has run for a tenth of a second."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) > 100_000_000


def test_a_proxy_that_dies_costs_its_scenario_and_not_the_results(run):
    program, out = run("--quick", "--only", "rt-1", "connects", "--rounds", "3", "--peers", "relay")

    def relaying():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return [pid for pid in named(program, "/relay ") if busy(pid)]
        return []

    (relay,) = program.wait_until(relaying, "the relay has much to do")
    os.kill(relay, signal.SIGKILL)
    assert program.wait(90) == 1, program.tail()
    assert f"relay: process {relay} has ended" in program.output()
    with open(os.path.join(out, "bench.json"), encoding="utf-8") as file:
        results = json.load(file)
    (failure,) = results["failures"]
    assert failure.startswith("64 B, 1 connection: ")
    assert [row["key"] for row in results["scenarios"]][-1] == "connects"


@pytest.mark.parametrize(
    ("words", "environ", "said"),
    [
        (["--peers", "envoy"], {}, "invalid choice: 'envoy'"),
        (["--rounds", "0"], {}, '"0" is no number of rounds'),
        (["--peers", "nginx"], {"BENCH_NGINX": "/none"}, 'nginx: "/none" is no nginx'),
        (["--peers", "haproxy"], {"BENCH_HAPROXY": "/bin/true"}, '"/bin/true" is no haproxy'),
        ([], {"CC": "no-such-cc"}, 'there is no C compiler "no-such-cc"'),
    ],
)
def test_what_is_missing_is_named(run, words, environ, said):
    program, _ = run("--quick", *words, **environ)
    assert program.wait(60) in {1, 2}
    assert said in program.output()
    assert "Traceback" not in program.output()


def test_the_others_are_measured_without_a_peer_that_is_missing(run):
    program, out = run(
        "--only", "start", "--rounds", "1", BENCH_NGINX="/none", BENCH_HAPROXY="/none"
    )
    assert program.wait(90) == 0, program.tail()
    assert 'without nginx: "/none"' in program.output()
    with open(os.path.join(out, "bench.json"), encoding="utf-8") as file:
        (start,) = json.load(file)["scenarios"]
    assert list(start["samples"]) == ["tidegate"]


def test_rows_with_tls_have_their_samples(run):
    program, out = run(
        "--quick", "--rounds", "1", "--peers", "tidegate", "openssl",
        "--only", "tls-ecdsa-1.2", "tls-resumed-1.3", "tls-rt-100", "tls-storm",
    )  # fmt: skip
    assert program.wait(90) == 0, program.tail()
    with open(os.path.join(out, "bench.json"), encoding="utf-8") as file:
        results = json.load(file)
    whole, resumed, trips, storm = results["scenarios"]
    for scenario in (whole, resumed):
        assert scenario["samples"].keys() == {"tidegate", "openssl"}
        assert scenario["ratios"]["cpu"][0]["to"] == "openssl"
    assert trips["samples"].keys() == storm["samples"].keys() == {"tidegate"}
    (sample,) = storm["samples"]["tidegate"]
    assert sample["growth"] == sample["p99"] - sample["quiet"]


def test_rows_with_websocket_have_their_samples(run):
    program, out = run(
        "--quick", "--rounds", "1", "--peers", "tidegate", "relay",
        "--only", "ws-rt-100", "ws-connects",
    )  # fmt: skip
    assert program.wait(90) == 0, program.tail()
    with open(os.path.join(out, "bench.json"), encoding="utf-8") as file:
        results = json.load(file)
    for scenario in results["scenarios"]:
        assert all(sample["cpu"] > 0 for sample in scenario["samples"]["tidegate"])
        assert scenario["ratios"]["cpu"][0]["to"] == "relay"
