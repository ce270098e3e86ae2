"""`docs/logs.md` names every directive and variable of logs, and its examples are read as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.config.grammar import find
from tidegate.config.load import load
from tidegate.variables import names

PAGE = (Path(__file__).parent.parent / "docs/logs.md").read_text()
SNIPPETS = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)
DIRECTIVES = ("access_log", "log_format", "open_log_file_cache", "error_log")
TOLD_ELSEWHERE = (
    "mqtt_",
    "ssl_",
    "proxy_protocol_",
    "realip_",
    "limit_conn_",
    "geoip_",
)


@pytest.mark.parametrize("name", DIRECTIVES)
def test_each_directive_is_there_with_its_default_and_place(name) -> None:
    row = find(name, "stream")
    assert row is not None
    (text,) = re.findall(rf"^### {name}\n\n((?:    .*\n)+)", PAGE, re.MULTILINE)
    default = re.search(r"Default: +(.*)", text)[1]
    assert default == (f"{name} {row.default};" if row.default else "-")
    context = re.search(r"Context: +(.*?) {2,}", text)[1].split(", ")
    expected = ["stream" if one == "stream" else one.rpartition(".")[2] for one in row.contexts]
    assert set(context) <= {*expected, "main"}
    assert set(context) >= {one for one in expected if one in ("stream", "server")}


def test_each_variable_is_there_and_known() -> None:
    told = set(re.findall(r"`\$(\w+)`", PAGE.partition("\n## Variables")[2].partition("\n## ")[0]))
    here = {name for name in names.STREAM if not name.startswith(TOLD_ELSEWHERE)}
    assert told == here


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_read_without_a_complaint(snippet: str, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    # Above their use, as the page says.
    forms = "".join(re.findall(r"^log_format [^;]*;\n", snippet, re.MULTILINE))
    rest = snippet.replace(forms, "")
    text = snippet
    if not snippet.startswith("stream"):
        text = (
            f"stream {{ mqtt_preread on; {forms} upstream brokers {{ server 127.0.0.1:1883; }}"
            f" server {{ listen 1883; proxy_pass brokers;\n{rest} }} }}"
        )
    file = tmp_path / "page.conf"
    file.write_text(f"events {{}}\n{text}")
    loaded = load(str(file), prefix=f"{tmp_path}/")
    assert [problem.message for problem in loaded.problems] == []
