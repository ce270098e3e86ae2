from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tidegate.scoreboard.board import Board
from tidegate.scoreboard.group import Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
# A child sees the packages that this process sees.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def make_slot(row: int, weight: int = 1, **numbers: object) -> Slot:
    given = {
        "max_conns": 0,
        "max_fails": 1,
        "fail_timeout": 10,
        "down": False,
        "backup": False,
    }
    return Slot(row, weight=weight, **(given | numbers))


@pytest.fixture(scope="session")
def slot() -> Callable[..., Slot]:
    return make_slot


@pytest.fixture
def board() -> Board:
    board = Board.create(workers=4, upstreams=2, peers=8)
    board.reset_upstream(0)
    return board


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a script of this folder with descriptors; it has ended when the test has."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: object, fds: tuple[int, ...] = ()) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, HERE / script, *map(str, arguments)],
            pass_fds=fds,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
