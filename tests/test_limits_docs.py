"""`docs/limits.md` names every directive that says who is let in, and its examples are read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.config import grammar_access
from tidegate.config.load import load
from tidegate.stream import limit_conn

PAGE = (Path(__file__).parent.parent / "docs/limits.md").read_text()
SNIPPETS = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("row", grammar_access.ROWS, ids=lambda row: row.name)
def test_each_directive_is_there_with_its_default_and_context(row) -> None:
    (lines,) = re.findall(rf"^## .*\b{row.name}(?:,.*)?\n\n((?:    .*\n)+)", PAGE, re.MULTILINE)
    assert re.search(rf"\b{row.name} .*;\n", lines)
    (default,) = re.findall(r"Default:  (.*)\n", lines)
    assert default == (f"{row.name} {row.default};" if row.default else "-")
    (context,) = re.findall(r"Context:  (.*?)  ", lines)
    names = [context.rpartition(".")[2] for context in row.contexts]
    assert context.split(", ") == names


def test_each_status_is_there() -> None:
    told = PAGE.partition("\n## $limit_conn_status")[2].partition("\n## ")[0]
    for status in (limit_conn.PASSED, limit_conn.REJECTED, limit_conn.REJECTED_DRY_RUN):
        assert f"`{status}`" in told


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_read_without_a_complaint(snippet: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    text = snippet if snippet.startswith("stream") else f"stream {{ {snippet} }}"
    file = tmp_path / "page.conf"
    file.write_text(f"events {{}}\n{text}")
    loaded = load(str(file), prefix=f"{tmp_path}/")
    assert [problem.message for problem in loaded.problems] == []
    assert loaded.model is not None
    (server,) = loaded.model.stream.servers
    assert server.limit_conns is not None
