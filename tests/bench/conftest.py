"""The command as a process of its own, and plans that end soon whatever the target does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tidegate
from tidegate.bench.plan import Plan
from tidegate.bench.run import run


@pytest.fixture
def command(monkeypatch):
    """What starts `tidegate bench` of this tree."""
    monkeypatch.setenv("PYTHONPATH", str(Path(tidegate.__file__).parents[1]))
    return [sys.executable, "-m", "tidegate.cli.main", "bench"]


@pytest.fixture
def bench(command):
    """Run `tidegate bench WORDS`; the finished process."""

    def bench(*words, **environ):
        return subprocess.run(
            [*command, *map(str, words)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **environ},
        )

    return bench


@pytest.fixture
def load():
    """Carry out a plan in this process; its result."""

    def load(job, port, **options):
        defaults = {
            "host": "127.0.0.1",
            "count": 3,
            "client_id": "client-%i",
            "topic": "t/%i",
            "seconds": 20.0,
        }
        return run(Plan(job=job, port=port, **defaults | options), quiet=True)

    return load
