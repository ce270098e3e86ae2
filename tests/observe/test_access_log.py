"""Access lines say what the format says, and nothing that a client sent can forge one."""

from __future__ import annotations

import ast
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config.model import LogFormat
from tidegate.observe.access_log import compile_line
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
        ("json", "\x00\x1f\b\f\r\t", "\\u0000\\u001F\\b\\f\\r\\t"),
        ("json", "\x7f\x9b\u2028", "\\u007F\\u009B\\u2028"),
        ("json", "\udcff", "\N{REPLACEMENT CHARACTER}"),
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


@given(st.text(), st.sampled_from(["default", "json"]))
def test_no_reader_of_lines_sees_a_second_one_and_no_terminal_a_command(value, escape):
    written = line("<$v>", escape, value)
    assert len(written.splitlines()) == 1
    assert not any(ord(one) < 0x20 or 0x7F <= ord(one) < 0xA0 for one in written)


@given(st.binary())
def test_bytes_that_are_no_text_are_told_in_hexadecimal(data):
    written = line("$v", "default", data.decode("utf-8", "surrogateescape"))
    assert ast.literal_eval(f'b"{written}"') == data


@given(st.text(), st.text())
def test_fields_in_quotes_stay_apart(first, second):
    made = LogFormat(name="main", template=parse('"$v" "$w"'), escape="default")
    getters = {"v": lambda _session: first, "w": lambda _session: second}
    assert compile_line(made, getters)(None).count('"') == 4
