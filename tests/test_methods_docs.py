"""`docs/methods.md` names every method and every parameter of a node, and what it says is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tidegate.config import build_method, build_upstream
from tidegate.config.grammar import find
from tidegate.config.load import load

PAGE = (Path(__file__).parent.parent / "docs/methods.md").read_text()
METHODS = [
    "hash $remote_addr",
    "hash $remote_addr consistent",
    "ip_hash",
    "least_conn",
    *(
        f"least_time {what}{more}"
        for what in ("connect", "first_byte", "last_byte")
        for more in ("", " inflight")
    ),
    "random",
    "random two",
    "random two least_conn",
    *(f"random two least_time={what}" for what in ("connect", "first_byte", "last_byte")),
]


@pytest.fixture
def problems_of(tmp_path):
    (tmp_path / "logs").mkdir()

    def read(text):
        file = tmp_path / "page.conf"
        file.write_text(f"events {{}}\n{text}")
        return [problem.message for problem in load(str(file), prefix=f"{tmp_path}/").problems]

    return read


def test_the_snippet_is_read_without_a_complaint(problems_of):
    (snippet,) = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)
    assert problems_of(snippet) == []


@pytest.mark.parametrize("method", METHODS)
def test_what_the_syntax_says_is_read(problems_of, method):
    name = method.split()[0]
    (syntax,) = re.findall(r"Syntax:   (hash.*?)\n    Default", PAGE, re.DOTALL)
    assert all(word.partition("=")[0] in syntax for word in method.split() if word[0] != "$")
    assert find(name, "stream.upstream") is not None
    nodes = "server 127.0.0.1:1; server 127.0.0.1:2;"
    server = "server { listen 127.0.0.1:3; proxy_pass nodes; }"
    assert problems_of(f"stream {{ upstream nodes {{ {method}; {nodes} }} {server} }}") == []


def test_every_parameter_of_a_node_is_told_of():
    table = PAGE.partition("| parameter |")[2]
    first = " ".join(line.split("|")[1] for line in table.splitlines()[2:] if "|" in line)
    told = {word.partition("=")[0] for word in re.findall(r"`([^`]*)`", first)}
    assert told == {
        *build_upstream.NUMBERS,
        *build_upstream.TIMES,
        *build_upstream.FLAGS,
        "service",
    }
    for name in build_method.WITHOUT_BACKUP:
        assert f"`{name}`" in table.partition("`backup`")[2].partition("\n")[0]
