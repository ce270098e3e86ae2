"""Texts with variables are split once, and put together for each session."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.variables.names import LATER, STREAM, comes_later, known
from tidegate.variables.template import (
    Template,
    TemplateError,
    Variable,
    compile_template,
    parse,
)

GETTERS = {"a": lambda session: session["a"], "long_1": lambda _session: "L"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("",)),
        ("plain", ("plain",)),
        ("$a", (Variable("a"),)),
        ("${a}b", (Variable("a"), "b")),
        ("x$a-$long_1", ("x", Variable("a"), "-", Variable("long_1"))),
        ("$a$a", (Variable("a"), Variable("a"))),
        ("a}b{", ("a}b{",)),
        ("A$Long_NAME${A}A", ("A", Variable("long_name"), Variable("a"), "A")),
    ],
)
def test_a_text_is_split_at_its_variables(text, parts):
    assert parse(text) == Template(parts)


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("$", "invalid variable name", 0),
        ("a $ b", "invalid variable name", 2),
        ("${}", "invalid variable name", 0),
        ("x${a", 'the closing bracket in "a" variable is missing', 1),
        ("${a-b}", 'the closing bracket in "a" variable is missing', 0),
    ],
)
def test_a_bad_variable_is_told_with_its_offset(text, message, offset):
    with pytest.raises(TemplateError, match=f"^{message}$") as caught:
        parse(text)
    assert caught.value.offset == offset


def test_only_a_text_without_variables_is_constant():
    assert parse("x").constant == "x"
    assert parse("").constant == ""
    assert parse("x$a").constant is None


@pytest.mark.parametrize(("text", "value"), [("$a", "1"), ("<$a${long_1}>", "<1L>"), ("x", "x")])
def test_a_template_gives_its_text_for_a_session(text, value):
    assert compile_template(parse(text), GETTERS)({"a": "1"}) == value


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError):
        compile_template(parse("$b"), GETTERS)


@settings(deadline=None)
@given(st.text() | st.text("$aB_{} ", max_size=12))
def test_any_text_is_a_template_or_an_error_and_nothing_is_lost(text):
    try:
        template = parse(text)
    except TemplateError:
        return
    assert parse(str(template)) == template


@pytest.mark.parametrize("text", ["x", "$a", "$a$b", "${a}b", "$a b", "$a-${b}_", "${a}1$b{"])
def test_a_template_can_be_shown_as_it_was_written(text):
    assert str(parse(text)) == text


def test_names_are_either_here_or_later():
    assert not set(STREAM) & LATER
    assert not any(comes_later(name) for name in STREAM)
    assert not any(known(name) for name in LATER)
    assert comes_later("ssl_client_sigalg")
    assert not comes_later("remote_adr")
