"""`docs/servers.md` names what chooses among servers, with defaults and words of the error log."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.config.grammar import find

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/servers.md").read_text()


@pytest.mark.parametrize("name", ["server_name", "pass"])
def test_each_directive_is_there_with_its_default(name):
    (lines,) = re.findall(rf"^### {name}\n\n((?:    .*\n)+)", PAGE, re.MULTILINE)
    row = find(name, "stream.server")
    assert row is not None
    assert f"Default:  {f'{name} {row.default};' if row.default else '-'}\n" in lines


def test_the_words_of_the_error_log_are_those_of_the_program():
    source = (ROOT / "src/tidegate/stream/passing.py").read_text()
    table = PAGE.partition("| what goes wrong")[2].partition("\n\n")[0]
    told = [words.partition('"')[0] for words in re.findall(r"`([a-z][^`]* [^`]*)`", table)]
    assert len(told) >= 6
    assert [words for words in told if words not in source] == []
