"""Access lines say what the format says, and nothing that a client sent can forge one."""

from __future__ import annotations

import asyncio
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config.model import LogFormat
from tidegate.observe.access_log import AccessFile, compile_line
from tidegate.variables.template import parse


def line(text, escape, value):
    made = LogFormat(name="main", template=parse(text), escape=escape)
    return compile_line(made, {"v": lambda _session: value})(None)


@pytest.mark.parametrize(
    ("escape", "value", "expected"),
    [
        ("default", "plain", "plain"),
        ("default", 'a"b\\c', "a\\x22b\\x5Cc"),
        ("default", "tab\tnewline\nbell\x07", "tab\\x09newline\\x0Abell\\x07"),
        ("default", "é", "\\xC3\\xA9"),
        ("default", "\udcff", "\\xFF"),
        ("default", None, "-"),
        ("default", "", ""),
        ("json", 'a"b\\c\n', 'a\\"b\\\\c\\n'),
        ("json", "é", "é"),
        ("json", None, ""),
        ("none", 'a"b', 'a"b'),
        ("none", "a\r\nb", "a\\x0D\\x0Ab"),
    ],
)
def test_values_are_escaped_and_the_format_is_not(escape, value, expected):
    assert line('"$v" \t', escape, value) == f'"{expected}" \t'


@given(st.text(), st.sampled_from(["default", "json", "none"]))
def test_no_value_makes_a_second_line(value, escape):
    assert len(line("$v", escape, value).encode("utf-8", "surrogateescape").split(b"\n")) == 1


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_is_read_back_as_it_was(value):
    assert json.loads(line('{"v":"$v"}', "json", value)) == {"v": value}


def test_lines_of_a_turn_are_written_together_and_a_full_disk_stops_nobody():
    async def main():
        told = []
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        file = AccessFile(writing, loop, changed=told.append)
        file.write("one")
        file.write("two")
        await asyncio.sleep(0)
        assert os.read(reading, 100) == b"one\ntwo\n"
        os.close(reading)
        os.close(writing)
        fd = os.open("/dev/full", os.O_WRONLY)
        file = AccessFile(fd, loop, changed=told.append)
        for _ in range(2):
            for _ in range(3):
                file.write("lost")
            await asyncio.sleep(0)
        assert file.lost == 6
        reading, writing = os.pipe()
        os.dup2(writing, fd)
        file.write("kept")
        await asyncio.sleep(0)
        assert os.read(reading, 100) == b"kept\n"
        assert told == [
            "write() to the access log failed (28: No space left on device), lines are lost",
            "the access log is written again, 6 lines were lost",
        ]
        for one in (reading, writing, fd):
            os.close(one)

    asyncio.run(main())
