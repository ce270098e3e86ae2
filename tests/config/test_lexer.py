"""Words and marks are found where nginx finds them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.config.diagnostics import Problem
from tidegate.config.lexer import MAX_WORD_BYTES, Ending, Lexer
from tidegate.config.span import Span


def read(text):
    return list(Lexer(text, "f").statements())


def words(text):
    """The words of a text of one statement."""
    first, last = read(text)
    assert last.ending is Ending.FILE
    return [word.text for word in first.words]


def complaints(text):
    return [found for found in read(text) if isinstance(found, Problem)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b;", ["a", "b"]),
        ("a\tb\r\n c ;", ["a", "b", "c"]),
        ("a#b c#;", ["a#b", "c#"]),
        ("# all of it;\na;", ["a"]),
        ("~^x}y$ 1;", ["~^x}y$", "1"]),
        ("a}b;", ["a}b"]),
        ("a\"b c'd;", ['a"b', "c'd"]),
        ("\"a b\" 'c;d';", ["a b", "c;d"]),
        ('"";', [""]),
        ("${a}b $a;", ["${a}b", "$a"]),
        ("${;", ["${"]),
        ("x${{y}}z;", ["x${{y}}z"]),
        (r"a\;b a\ b \{;", [r"a\;b", r"a\ b", r"\{"]),
        (r'"a\"b" "a\\b" "\t\r\n\x";', ['a"b', "a\\b", "\t\r\n\\x"]),
        (r"'it\'s';", ["it's"]),
        (r"\t;", ["\t"]),
        ("a(b) c);", ["a(b)", "c)"]),
        ('"a")b;', ["a", ")b"]),
        ("h\xe9llo \udc80;", ["h\xe9llo", "\udc80"]),
    ],
)
def test_words_end_where_nginx_ends_them(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "endings"),
    [
        ("a;", [";", ""]),
        ("a{}", ["{", "}", ""]),
        ("a { b; }", ["{", ";", "}", ""]),
        ("", [""]),
        ("# only a comment", [""]),
        ("$a{}", ["{", "}", ""]),
    ],
)
def test_a_statement_knows_its_end(text, endings):
    assert [statement.ending.value for statement in read(text)] == endings


def test_words_know_their_line_and_column():
    first, _ = read('# c\n  listen "a\nb"\tx;')
    assert [word.span for word in first.words] == [
        Span("f", 2, 3),
        Span("f", 2, 10),
        Span("f", 3, 4),
    ]
    assert first.end == Span("f", 3, 5)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        (";", 'unexpected ";"', 1),
        ("\n{ }", 'unexpected "{"', 2),
        ("a\n}", 'unexpected "}"', 2),
        ('"a"b;', 'unexpected "b"', 1),
        ('"a"};', 'unexpected "}"', 1),
        ("a\n", 'unexpected end of file, expecting ";" or "}"', 2),
        ('a "b\n;', 'unexpected end of file, expecting ";" or "}"', 2),
        ("a\\", 'unexpected end of file, expecting ";" or "}"', 1),
        ("a;\n\0", "a NUL byte: this is not a text file", 2),
    ],
)
def test_a_mistake_is_told_in_nginx_words(text, message, line):
    first = complaints(text)[0]
    assert first.message == message
    assert (first.line or first.span.line) == line


def test_reading_goes_on_after_a_mistake():
    found = [one for one in read('"a"b c; d; e } f;') if not isinstance(one, Problem)]
    assert [one.ending.value for one in found] == [";", ";", "}", ";", ""]
    assert found[0].broken
    assert not found[1].broken


@pytest.mark.parametrize("quote", ["", '"', "'"])
@pytest.mark.parametrize("letter", ["x", "\xe9"])
def test_a_word_may_have_one_byte_less_than_nginx_buffer(quote, letter):
    size = len(letter.encode())
    longest = letter * ((MAX_WORD_BYTES - 1) // size)
    assert not complaints(f"a {quote}{longest}{quote};")
    (fault,) = complaints(f"a {quote}{longest}{letter}{quote};")
    assert fault.message.startswith("too long parameter")
    assert fault.span == Span("f", 1, 3)


def test_a_megabyte_word_ends_in_one_error():
    assert len(complaints("a " + "x" * (1 << 20) + ";\nb;")) == 1
    assert len(complaints('a "' + "x;" * (1 << 20))) == 1


def rendered(word, quote):
    """`word` as it can be written in a file; `quote` may be empty where the word allows it."""
    escaped = word.replace("\\", "\\\\")
    for letter, name in (("\t", "t"), ("\r", "r"), ("\n", "n")):
        escaped = escaped.replace(letter, f"\\{name}")
    return quote + escaped.replace(quote, f"\\{quote}") + quote


anything = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60)


@settings(deadline=None)
@given(st.lists(st.tuples(anything, st.sampled_from("\"'")), min_size=1, max_size=5))
def test_quoted_words_come_back_as_they_were(pairs):
    text = " ".join(rendered(word, quote) for word, quote in pairs) + ";"
    assert words(text) == [word for word, _quote in pairs]


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[a-z0-9_./:=}~^*@+-]{1,20}", fullmatch=True), min_size=1))
def test_plain_words_need_no_quotes(plain):
    plain[0] = "x" + plain[0]
    tidy = [word if word[0] != "}" else "x" + word for word in plain]
    assert words("\n ".join(tidy) + " ;") == tidy


@settings(deadline=None)
@given(st.text(st.sampled_from("ab \n\t;{}\"'\\$#()\xe9"), max_size=80))
def test_every_text_is_read_to_its_end(text):
    found = read(text)
    assert found[-1].ending is Ending.FILE
    lines = text.count("\n") + 1
    for one in found:
        place = one.span if isinstance(one, Problem) else one.end
        assert 1 <= place.line <= lines
        assert place.column >= 1
