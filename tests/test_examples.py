"""What we hand out is right: the examples, the starter file, and the README's configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.config.load import load

TOP = Path(__file__).parent.parent
FILES = [*sorted((TOP / "examples").glob("*.conf")), TOP / "deploy/tidegate.conf"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_is_read_without_a_complaint(file: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    loaded = load(str(file), prefix=f"{tmp_path}/")
    assert [problem.message for problem in loaded.problems] == []
    assert loaded.model is not None
    assert loaded.model.stream is not None


def test_the_readme_shows_the_first_example() -> None:
    (shown,) = re.findall(r"```nginx\n(.*?)```", (TOP / "README.md").read_text(), re.DOTALL)
    assert (TOP / "examples/round-robin.conf").read_text().endswith("\n\n" + shown)
