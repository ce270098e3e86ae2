"""`docs/mqtt.md` names every directive and variable of MQTT, with the defaults that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.config import grammar_mqtt
from tidegate.config.load import load
from tidegate.variables import names

PAGE = (Path(__file__).parent.parent / "docs/mqtt.md").read_text()
SNIPPETS = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)
DEPRECATED = "mqtt_rewrite_buffer_size"


# It is about TLS, and its test is that of docs/tls.md.
ROWS = [row for row in grammar_mqtt.ROWS if row.name != "ssl_preread"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_directive_is_there_with_its_default(row) -> None:
    if row.name == DEPRECATED:
        assert f"`{row.name} size`" in PAGE
        return
    (line,) = re.findall(rf"^### .*\b{row.name}\b.*\n\n((?:    .*\n)+)", PAGE, re.MULTILINE)
    _syntax, default, _context = line.splitlines()
    assert re.search(rf"\b{row.name} {re.escape(row.default)};" if row.default else "-$", default)


def test_each_variable_is_there() -> None:
    told = set(re.findall(r"\$(mqtt_\w+)", PAGE.partition("\n## Variables")[2]))
    assert told >= {*names.CONNECT, *names.CONNACK}


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_read_without_a_complaint(snippet: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    text = snippet
    if not snippet.startswith("stream"):
        inside = "" if "mqtt_preread on" in snippet else "mqtt_preread on;"
        outside, server = (snippet, "") if "log_format" in snippet else ("", snippet)
        to = "" if "proxy_pass" in snippet else "proxy_pass brokers;"
        text = (
            f"stream {{ {inside}\n{outside}\n upstream brokers {{"
            " server 127.0.0.1:1883; server 127.0.0.2:1883; }"
            f" server {{ listen 1883; {to}\n{server}\n }} }}"
        )
    file = tmp_path / "page.conf"
    file.write_text(f"events {{}}\n{text}")
    loaded = load(str(file), prefix=f"{tmp_path}/")
    assert [problem.message for problem in loaded.problems] == []
