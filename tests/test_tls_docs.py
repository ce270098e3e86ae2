"""`docs/tls.md` names every directive and variable of TLS, with the defaults that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.config import grammar_mqtt, grammar_ssl
from tidegate.variables import names

PAGE = (Path(__file__).parent.parent / "docs/tls.md").read_text()


ROWS = [*grammar_ssl.HERE, *(row for row in grammar_mqtt.ROWS if row.name == "ssl_preread")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_directive_is_there_with_its_default(row) -> None:
    if row.name.startswith("proxy_"):
        (line,) = [
            one
            for one in PAGE.splitlines()
            if one.startswith("| `")
            and re.search(rf"\b{row.name}\b", one.split("|")[1] + one)
            and re.search(rf"`{row.name}\b", one)
        ]
        assert not row.default or f"`{row.default}`" in line
        return
    pattern = rf"^### .*\b{row.name}\b.*\n\n((?:    .*\n)+)"
    (lines,) = re.findall(pattern, PAGE, re.MULTILINE)
    default = lines.partition("Default:")[2]
    if row.default is not None:
        assert f"{row.name} {row.default};" in default


def test_each_variable_is_there() -> None:
    told = set(re.findall(r"\$(ssl_\w+)", PAGE.partition("\n## Variables")[2]))
    assert told == {*names.TLS}
    passing = PAGE.partition("\n## TLS that passes")[2].partition("\n## ")[0]
    assert set(re.findall(r"\$(ssl_\w+)", passing)) == {*names.PREREAD_TLS}
