"""A problem says what, where, and what may help; and does no harm to a terminal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.config.diagnostics import Problem, caret, nearest, printable
from tidegate.config.model import Level
from tidegate.config.span import COMMAND_LINE, Span


def problem(**changes):
    given = {"severity": Level.EMERG, "message": "wrong", "span": Span("/f", 3, 5)}
    return Problem(**{**given, **changes})


def test_the_first_line_is_nginx_s():
    assert problem().headline == "tidegate: [emerg] wrong in /f:3"
    assert problem(severity=Level.WARN, line=7).headline == "tidegate: [warn] wrong in /f:7"
    assert problem(span=None).headline == "tidegate: [emerg] wrong"
    assert problem(span=Span(COMMAND_LINE, 1, 1)).words == "wrong in command line"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \xe9 \u4e2d", "plain \xe9 \u4e2d"),
        ("a\x1b[31mb\n\x7f", "a\\x1B[31mb\\x0A\\x7F"),
        ("\udcff", "\\xFF"),
        ("\u202e\u200b", "\\u202E\\u200B"),
        ("\U000e0001", "\\U000E0001"),
    ],
)
def test_nothing_in_a_message_moves_the_terminal(text, shown):
    assert printable(text) == shown
    assert problem(message=text, span=Span(text, 1, 1)).words == f"{shown} in {shown}:1"


@settings(deadline=None)
@given(st.text(), st.integers(1, 200))
def test_the_caret_stands_under_its_column(source, column):
    line, mark = caret(source.replace("\n", ""), column).split("\n")
    assert line.isprintable()
    assert mark.strip() == "^"
    assert mark.index("^") <= len(line)


def test_the_caret_points_at_the_word():
    assert caret("\tlisten x;", 9) == "   listen x;\n          ^"
    long = caret("x" * 500 + " here " + "y" * 500, 502)
    line, mark = long.split("\n")
    assert line[mark.index("^") :].startswith("here")
    assert len(line) < 160


def test_a_hint_names_what_is_near_and_nothing_else():
    known = ["proxy_pass", "proxy_bind"]
    assert nearest("proxy_passs", known) == "proxy_pass"
    assert nearest("banana", known) is None
    assert nearest("proxy_pass" * 1000, known) is None


HINTS = {
    "worker_proceses 2; events {}": 'did you mean "worker_processes"?',
    "events {} mqtt_preread on;": (
        'it may stand in "stream {}" or in "server {}" of "stream {}" or in "http {}"'
        ' or in "server {}" of "http {}" or in "location {}" of "http {}"'
    ),
    "events {}\npid x\nerror_log y;": 'a ";" is missing at the end of line 2',
    "events { worker_connections 5 }": 'a ";" is missing after "5"',
    "events {\n": 'the "events" that opens in line 1 is not closed',
    'events {}\nuser "x;\n': 'the " that opens in line 2 is not closed',
    "\ufeffevents {}": "the file begins with a byte order mark; save it as UTF-8 without one",
    "events {} error_log x notic;": 'did you mean "notice"?',
    "events {} stream { upstream a { server x:1 wieght=2; } }": 'did you mean "weight"?',
    "events {} stream { access_log x combined; }": (
        '"combined" is a format of http; stream has none of its own'
    ),
}


@pytest.mark.parametrize("text", HINTS)
def test_common_mistakes_get_a_hint(folder, text):
    assert folder.load(text).first_error.hint == HINTS[text]
