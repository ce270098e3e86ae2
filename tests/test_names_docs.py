"""`docs/names.md` has the directives as the table has them, and its examples are read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.config.grammar import find
from tidegate.config.load import load
from tidegate.process import dns_lookup, names

PAGE = (Path(__file__).parent.parent / "docs/names.md").read_text()
SNIPPETS = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("name", ["resolver", "resolver_timeout"])
def test_each_directive_is_there_with_its_default_and_contexts(name: str) -> None:
    (lines,) = re.findall(rf"^## {name}\n\n((?:    .*\n)+)", PAGE, re.MULTILINE)
    row = find(name, "stream.upstream")
    assert row is not None
    (default,) = re.findall(r"Default:  (.*)\n", lines)
    assert default == (f"{name} {row.default};" if row.default else "-")
    assert "Context:  stream, upstream; http, upstream " in lines
    for context in ("stream", "stream.upstream", "http", "http.upstream"):
        assert find(name, context) is not None


def test_the_bounds_are_those_of_the_program() -> None:
    text = " ".join(PAGE.split())
    assert f"{dns_lookup.MOST_ADDRESSES} addresses of a name are used" in text
    assert f"{dns_lookup.MOST_HOSTS} hosts of a service" in text
    assert f"Their sum is made {dns_lookup.MOST_WEIGHT} at most" in text
    assert (dns_lookup.MOST_ALIASES, dns_lookup.EMPTY_SECONDS, names.FIRST_SECONDS) == (8, 10, 5)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_read_without_a_complaint(snippet: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    text = snippet if snippet.startswith("stream") else f"stream {{ {snippet} }}"
    file = tmp_path / "page.conf"
    file.write_text(f"events {{}}\n{text}")
    loaded = load(str(file), prefix=f"{tmp_path}/")
    assert [problem.message for problem in loaded.problems] == []
    assert loaded.model is not None
    assert loaded.model.stream is not None
    assert loaded.model.stream.upstreams[0].moving
