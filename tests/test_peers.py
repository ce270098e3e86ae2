"""A test whose peer is missing is skipped in the open, and fails where peers are required."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
PEERS = "there true-package true\nabsent absent-package /no/such/file\n"
TESTS = """
import os, pytest

@pytest.mark.needs("there")
def test_a(): pass

@pytest.mark.needs("absent", "there")
def test_b(): pass
"""


class Project:
    """A project of its own with this one's conftest.py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("scripts", "tests/lab"):
            (folder / name).mkdir(parents=True)
        shutil.copy(TOP / "tests/conftest.py", folder / "tests")
        shutil.copy(TOP / "pyproject.toml", folder)
        (folder / "tests/lab/fixtures.py").touch()
        (folder / "scripts/peers.txt").write_text(PEERS)
        (folder / "tests/test_some.py").write_text(TESTS)

    def pytest(self, *arguments: str, peers: str = "") -> subprocess.CompletedProcess[str]:
        unset = ("PYTEST_", "TIDEGATE_PEERS")
        env = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
        return subprocess.run(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=self.folder,
            env=env | {"TIDEGATE_PEERS": peers},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize("arguments", [(), ("-n", "2")])
def test_the_last_line_names_what_was_skipped_and_the_command(
    project: Project, arguments: tuple[str, ...]
) -> None:
    done = project.pytest(*arguments)
    assert done.returncode == 0, done.stdout
    *_, closing, last = done.stdout.splitlines()
    assert re.search(r"1 passed, 1 skipped in", closing)
    assert last == "skipped for want of absent (1); to run them: make peers"


def test_a_missing_peer_fails_where_peers_are_required(project: Project) -> None:
    done = project.pytest(peers="required")
    assert done.returncode == 1
    assert "needs absent: make peers" in done.stdout


def test_a_peer_that_the_list_does_not_know_fails(project: Project) -> None:
    (project.folder / "scripts/peers.txt").write_text("there true-package true\n")
    done = project.pytest()
    assert done.returncode == 1
    assert "no peer 'absent' in scripts/peers.txt" in done.stdout


def test_a_run_that_died_is_told_from_one_without_failures(project: Project) -> None:
    latch = project.folder / ".pytest_cache/v/tidegate/running"
    project.pytest()
    assert latch.read_text() == "false"
    (project.folder / "tests/test_some.py").write_text("import os\ndef test_a(): os._exit(0)\n")
    assert project.pytest().returncode == 0
    assert latch.read_text() == "true"
    assert "the run before this one died" in project.pytest().stdout


def test_each_peer_has_its_package_and_what_shows_that_it_is_there() -> None:
    lines = (TOP / "scripts/peers.txt").read_text().splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    assert rows
    assert {len(row) for row in rows} == {3}
