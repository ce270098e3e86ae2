"""`docs/realip.md` names every directive and variable of the client's own address, as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.config.grammar import find
from tidegate.config.load import load
from tidegate.variables import names

PAGE = (Path(__file__).parent.parent / "docs/realip.md").read_text()
SNIPPETS = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("name", ["proxy_protocol_timeout", "set_real_ip_from"])
def test_each_directive_is_there_with_its_default_and_contexts(name: str) -> None:
    row = find(name, "stream")
    assert row is not None
    (block,) = re.findall(rf"^### {name}\n\n((?:    .*\n)+)", PAGE, re.MULTILINE)
    syntax, default, context = block.splitlines()
    assert f"{name} " in syntax
    assert default.split(":", 1)[1].strip() == (f"{name} {row.default};" if row.default else "-")
    assert "stream, server" in context
    assert find(name, "stream.server") is row


def test_each_variable_is_there() -> None:
    told = set(re.findall(r"\$(\w+)", PAGE.partition("\n## Variables")[2]))
    known = {name for name in names.STREAM if name.startswith(("proxy_protocol_", "realip_"))}
    assert told - {"proxy_protocol_tlv_0xe0"} == known


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_read_without_a_complaint(snippet: str, tmp_path: Path) -> None:
    text = snippet
    if not snippet.startswith("stream"):
        text = f"stream {{ server {{ {snippet} proxy_pass 127.0.0.1:1883; }} }}"
    (tmp_path / "logs").mkdir()
    file = tmp_path / "page.conf"
    file.write_text(f"events {{}}\n{text}")
    loaded = load(str(file), prefix=f"{tmp_path}/")
    assert [problem.message for problem in loaded.problems] == []
