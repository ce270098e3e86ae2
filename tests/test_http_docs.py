"""`docs/http.md` names every directive and variable of http, and its examples are read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.config import grammar_http, grammar_http_proxy
from tidegate.config.load import load
from tidegate.variables import names, names_http

PAGE = (Path(__file__).parent.parent / "docs/http.md").read_text()
SNIPPETS = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)

# Blocks without settings of their own, and what other pages tell.
UNTOLD = {"server", "upstream"}
ROWS = [
    row
    for row in (
        *grammar_http.BLOCKS,
        *grammar_http.CLIENTS,
        *grammar_http.ANSWERS,
        *grammar_http.RULES,
        *grammar_http.LOGS,
        *grammar_http_proxy.PASS,
    )
    if row.name not in UNTOLD
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_directive_is_there_with_its_default_and_context(row) -> None:
    contexts = ", ".join(context.rpartition(".")[2] for context in row.contexts)
    lines = [line for line in PAGE.splitlines() if line.startswith(f"| `{row.name}` |")]
    if lines:
        (line,) = lines
        _, _name, default, context, _text, _ = (part.strip() for part in line.split("|", 5))
        assert default == (f"`{row.default}`" if row.default else "")
        assert context == contexts
        return
    (section,) = re.findall(rf"^###+ {row.name}\n\n((?:    .*\n)+)", PAGE, re.MULTILINE)
    (default,) = re.findall(r"Default:  (.*)\n", section)
    assert default == (f"{row.name} {row.default};" if row.default else "-")
    (context,) = re.findall(r"Context:  (.*?)  ", section)
    assert context == contexts


def test_each_variable_is_there() -> None:
    told = PAGE.partition("\n## Variables")[2].partition("\n## ")[0]
    table = set(re.findall(r"^\| `\$(\w+)` \|", told, re.MULTILINE))
    own = set(names_http.HTTP) - set(names.STREAM)
    prefixes = {f"{one}NAME" for one in names_http.PREFIXES if one not in names.PREFIXES}
    both = {"status", "bytes_sent"}
    assert table == own | prefixes | both
    missing = {name for name in names.STREAM if name not in names_http.HTTP}
    above = set(re.findall(r"`\$(\w+)(?:\.\.\.)?`", told.partition("| variable |")[0]))
    assert missing == {
        name for name in names.STREAM if name in above or name.startswith("ssl_preread_")
    }


def test_the_headers_that_are_hidden_are_told() -> None:
    assert "`Date`, `Server`, `X-Pad` and `X-Accel-...`" in PAGE


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_read_without_a_complaint(snippet: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    text = snippet if snippet.startswith("http") else f"http {{ {snippet} }}"
    file = tmp_path / "page.conf"
    file.write_text(f"events {{}}\n{text}")
    loaded = load(str(file), prefix=f"{tmp_path}/")
    assert [problem.message for problem in loaded.problems] == []
    assert loaded.model is not None
