"""`docs/variables.md` names every directive that defines variables, and what it shows is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.config import grammar_variables
from tidegate.config.load import load
from tidegate.variables.regex import MOST_STEPS
from tidegate.variables.values import KEPT_VALUE

PAGE = (Path(__file__).parent.parent / "docs/variables.md").read_text()
SNIPPETS = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("row", grammar_variables.ROWS, ids=lambda row: row.name)
def test_each_directive_is_there_with_its_syntax_and_context(row) -> None:
    (lines,) = re.findall(rf"^### {row.name}\n\n((?:    .*\n)+)", PAGE, re.MULTILINE)
    syntax, default, context = lines.splitlines()
    assert re.search(rf"\b{row.name} .*\$variable", syntax)
    assert default.endswith(" -")
    assert context.split()[-1] == row.contexts[0].rpartition(".")[2]


def test_the_limits_are_as_told() -> None:
    assert f"after {MOST_STEPS:,} steps, some" in PAGE
    assert f"{KEPT_VALUE} characters\nof each" in PAGE


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_read_without_a_complaint(snippet: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    text = snippet
    if snippet.startswith("set"):
        text = f"server {{ listen 1883; {snippet} }}"
    elif "listen" not in snippet:
        text = f"{snippet} server {{ listen 1883; return x; }}"
    if not snippet.startswith("stream"):
        text = f"stream {{ {text} }}"
    file = tmp_path / "page.conf"
    file.write_text(f"events {{}}\n{text}")
    loaded = load(str(file), prefix=f"{tmp_path}/")
    assert [problem.message for problem in loaded.problems] == []
