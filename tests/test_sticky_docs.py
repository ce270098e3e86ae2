"""`docs/sticky.md` says what there is: parameters, defaults, bounds, and lines that are said."""

from __future__ import annotations

import re
from pathlib import Path

from tidegate.config import build_sticky
from tidegate.config.load import load
from tidegate.config.zones import SMALLEST_ZONE
from tidegate.process.tables import (
    BYTES_PER_SECOND,
    END_SECONDS,
    PAUSE_SECONDS,
    SLOW_BYTES,
)
from tidegate.scoreboard.learned import LONGEST, Learned
from tidegate.stream.sticky import LONGEST_PAUSE, TOUCHES

PAGE = (Path(__file__).parent.parent / "docs/sticky.md").read_text()
WORDS = " ".join(PAGE.split())


def test_every_parameter_is_told_of() -> None:
    (syntax,) = re.findall(r"Syntax: (.*)\n +(.*);\n", PAGE)
    told = set(re.findall(r"(\w+)=", " ".join(syntax)))
    assert told == set(build_sticky.PARAMETERS)
    for name in (*told, "norefresh", *build_sticky.MODES, *build_sticky.WITHOUT):
        if name != "remote_result":
            assert re.search(rf"`[^`]*{name}`", PAGE), name


def test_bounds_are_those_of_the_program() -> None:
    assert f"from {SMALLEST_ZONE >> 10}k to {build_sticky.LARGEST_ZONE >> 20}m" in WORDS
    assert f"A megabyte has room for {Learned.create(1 << 20).cells:,} clients" in WORDS
    assert f"of {Learned.create(10 << 20).cells:,} entries" in WORDS
    assert f"of up to {LONGEST} bytes is stored as it is" in WORDS
    assert f"{build_sticky.TIMEOUT // 3600}h where it is not said" in WORDS
    assert f"{PAUSE_SECONDS:g} s after the last time" in WORDS
    assert f"no more than {BYTES_PER_SECOND >> 10} KiB of it in a second" in WORDS
    bounds = f"{END_SECONDS:g} s at most, and a second more for each {SLOW_BYTES >> 20} MiB"
    assert bounds in WORDS
    assert TOUCHES == 4
    assert "four times in each `timeout`" in WORDS
    assert f"every {LONGEST_PAUSE / 60:g} minutes at least" in WORDS


def test_the_snippet_is_read_without_a_complaint(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (snippet,) = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "page.conf"
    file.write_text(f"events {{}}\n{snippet}")
    loaded = load(str(file), prefix=f"{tmp_path}/")
    assert [problem.message for problem in loaded.problems] == []
