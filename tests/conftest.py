"""What every test run shares: peers that tests ask for, and the latch for runs that die."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PEERS = Path(__file__).parent.parent / "scripts/peers.txt"
REQUIRED = os.environ.get("TIDEGATE_PEERS") == "required"
# True while a run goes on: `make test` looks at it afterwards, the next run at its start.
LATCH = "tidegate/running"
DIED = pytest.StashKey[bool]()
MISSING = "missing peer"
# What a test may need beside programs: to be root in a place where root may make namespaces.
ROOT = "root"
TESTS_PER_PROCESSOR = 2

# Containers often forbid Python to keep compiled modules. Tests start it a thousand times: to
# compile anew would be half of their work, and no user of an installed tidegate waits for it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

pytest_plugins = ["lab.fixtures"]


def read_peers() -> dict[str, list[str]]:
    """Each peer's name with what is to be found for it: programs, or files."""
    peers: dict[str, list[str]] = {}
    for line in PEERS.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _package, probe = line.split()
            # A file without a leading "/" is one of the project's own.
            probe = str(PEERS.parent.parent / probe) if "/" in probe else probe
            peers.setdefault(name, []).append(probe)
    return peers


@cache
def may_unshare() -> bool:
    """Whether this user may make mount and network namespaces, which containers often refuse."""
    command = ["unshare", "--mount", "--net", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def missing_peers(names: Iterable[str]) -> list[str]:
    """Those of `names` that this machine lacks; KeyError for one that peers.txt does not know."""
    peers = read_peers()
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"

    def lacks(name: str) -> bool:
        if name == ROOT:
            return os.geteuid() != 0 or not may_unshare()
        return any(shutil.which(probe, os.F_OK, path) is None for probe in peers[name])

    return [name for name in names if lacks(name)]


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's background job ignores it, and so would every program that a test interrupts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers",
        "needs(*names): programs of scripts/peers.txt, or root; without them the test is skipped,"
        " or fails where TIDEGATE_PEERS=required",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many `-n auto` is: tests wait for programs more often than they compute."""
    return TESTS_PER_PROCESSOR * len(os.sched_getaffinity(0))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    names = [name for mark in item.iter_markers("needs") for name in mark.args]
    try:
        missing = missing_peers(names)
    except KeyError as unknown:
        pytest.fail(f"no peer {unknown} in scripts/peers.txt", pytrace=False)
    if not missing:
        return
    text = f"needs {', '.join(missing)}"
    if REQUIRED:
        pytest.fail(f"{text}: make peers (TIDEGATE_PEERS=required)", pytrace=False)
    item.user_properties += [(MISSING, name) for name in missing]
    pytest.skip(text)


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of several that xdist started."""
    return hasattr(config, "workerinput")


def pytest_sessionstart(session: pytest.Session) -> None:
    cache = session.config.cache
    if not is_worker(session.config) and cache is not None:
        session.config.stash[DIED] = bool(cache.get(LATCH, default=False))
        cache.set(LATCH, True)


def pytest_report_header(config: pytest.Config) -> list[str]:
    return ["the run before this one died before its end"] if config.stash.get(DIED, False) else []


def pytest_sessionfinish(session: pytest.Session) -> None:
    cache = session.config.cache
    if not is_worker(session.config) and cache is not None:
        cache.set(LATCH, False)


def tests_without(reporter: pytest.TerminalReporter) -> Iterator[str]:
    """One name of a missing peer per test that was skipped for it."""
    for report in reporter.stats.get("skipped", []):
        yield from (name for key, name in report.user_properties if key == MISSING)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Print the last line, below pytest's own: what was skipped for want of a peer."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if is_worker(config) or reporter is None:
        return
    counts = Counter(tests_without(reporter))
    if not counts:
        return
    wants = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
    commands = {
        "make test as root where it may make namespaces" if name == ROOT else "make peers"
        for name in counts
    }
    reporter.write_line(f"skipped for want of {wants}; to run them: {', '.join(sorted(commands))}")
