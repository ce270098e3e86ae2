"""`docs/least-time.md` says what there is: words, numbers, columns; its example is read."""

from __future__ import annotations

import re
from pathlib import Path

from tidegate.cli.ctl import _upstreams_text
from tidegate.config.build_method import TIMES
from tidegate.config.load import load
from tidegate.config.model import LeastTime

PAGE = (Path(__file__).parent.parent / "docs/least-time.md").read_text()


def test_every_time_is_told_of() -> None:
    for name in {name for names in TIMES.values() for name in names}:
        assert f"\n`{name}`\n: " in PAGE
    for context, names in TIMES.items():
        block = f"upstream of {context.partition('.')[0]}"
        for before in ("least_time ", "random two least_time="):
            syntax = re.escape(before + " | ".join(names))
            assert re.search(rf"Syntax:   {syntax}.*;\n.*\n +Context:  {block} ", PAGE)


def test_the_columns_are_those_of_ctl() -> None:
    times = {"connect": 1, "first_byte": 14, "last_byte": 812_300}
    peer = {
        "address": "10.0.1.11:1883",
        "backup": False,
        "state": "up",
        "slow_start": None,
        "weight": 1,
        "active": 4012,
        "max_conns": 0,
        "total": 9210,
        "fails": 0,
        "average_ms": times,
        "last_failure": None,
    }
    upstream = {"name": "brokers", "http": False, "peers": [peer], "names": []}
    head, line = _upstreams_text({"upstreams": [upstream]}).splitlines()
    told = re.findall(r"```\n(UPSTREAM.*)\n(.*)\n", PAGE)[0]
    assert [head.split(), line.split()] == [one.split() for one in told]
    peer["average_ms"] = dict.fromkeys(times)
    assert " MS " not in _upstreams_text({"upstreams": [upstream]})


def test_the_snippet_is_read_without_a_complaint(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (snippet,) = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "page.conf"
    file.write_text(f"events {{}}\n{snippet}")
    loaded = load(str(file), prefix=f"{tmp_path}/")
    assert [problem.message for problem in loaded.problems] == []
    assert loaded.model is not None
    assert loaded.model.stream.upstreams[0].method == LeastTime(by="first_byte", inflight=True)


def test_the_tests_that_it_names_are_there() -> None:
    for path in re.findall(r"`(tests/[\w/]+\.py)`", PAGE):
        assert (Path(__file__).parent.parent / path).is_file()
