"""Regular expressions are PCRE2's own, with a bound."""

import gc
import subprocess
import sys
import time

import pytest

from tidegate.variables.regex import Regex, RegexError


def test_groups_are_given_with_what_they_matched():
    regex = Regex(b"^(?<who>a+)(b)?(c)$")
    assert (regex.groups, regex.names) == (3, (("who", 1),))
    assert regex.match(b"aac") == (b"aac", b"aa", None, b"c")
    assert regex.match(b"aa") is None


def test_bytes_of_all_values_are_matched():
    data = bytes(range(256))
    assert Regex(rb"(?s)^(.*)$").match(data) == (data, data)
    assert Regex(b"^\xff\\x00$").match(b"\xff\0") is not None
    assert Regex(b"").match(b"") == (b"",)


def test_capitals_are_the_same_only_where_that_is_asked_for():
    assert Regex(b"a", caseless=True).match(b"A") == (b"A",)
    assert Regex(b"a").match(b"A") is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (b"(", 'missing closing parenthesis in "("'),
        (b"(a)))", 'unmatched closing parenthesis in "(a)))" at "))"'),
        (b"[z-a]", 'range out of order in character class in "[z-a]" at "a]"'),
    ],
)
def test_a_bad_expression_is_told_in_nginx_words(pattern, words):
    with pytest.raises(RegexError) as caught:
        Regex(pattern)
    assert str(caught.value) == f"pcre2_compile() failed: {words}"


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [
        (rb"^(a+)+$", b"a" * 64 + b"b"),
        (rb"((a*)*)*[^a]$", b"a" * 65_535),
        (rb"^(a|aa)+$", b"a" * 64 + b"b"),
        (rb"^(\w+\s?)*$", b"a" * 64 + b"!"),
    ],
)
def test_a_match_without_end_is_given_up_soon(pattern, subject):
    regex = Regex(pattern)
    start = time.monotonic()
    with pytest.raises(RegexError, match=r"^pcre2_match\(\) failed: -\d+$"):
        regex.match(subject)
    assert time.monotonic() - start < 2  # milliseconds where nothing else runs
    assert Regex(b"a").match(b"a") == (b"a",)


def test_real_expressions_on_the_longest_client_id_are_far_from_the_bound():
    for pattern in (rb"^(.*)-(\d+)$", rb"([a-z]+)/([a-z]+)$", rb"^(?:[^/]*/)*x$"):
        assert Regex(pattern).match(b"-/" * 32_767) is None


def test_an_expression_that_asks_for_characters_refuses_what_is_no_text():
    with pytest.raises(RegexError, match="failed"):
        Regex(rb"(*UTF)^.$").match(b"\xff")
    assert Regex(rb"(*UTF)^.$").match("漢".encode()) is not None


def test_expressions_give_their_memory_back():
    def pages():
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1])

    def many():
        for number in range(20_000):
            Regex(b"(a|b)*%d" % number).match(b"ab")
        gc.collect()

    many()
    before = pages()
    many()
    assert (pages() - before) * 4096 < 4 << 20  # 20,000 of them are 10 MB and more


WITHOUT = """
import sys
from tidegate.variables import regex
regex.LIBRARY = "libpcre2-none.so.0"
from tidegate.config.load import load
for problem in load(sys.argv[1], prefix=sys.argv[2]).problems:
    print(problem.words.partition(" in ")[0], "|", problem.hint)
"""


def test_without_the_library_only_expressions_are_refused_and_the_package_is_named(tmp_path):
    file = tmp_path / "tidegate.conf"
    server = "server { listen 1; return $x; }"
    file.write_text(f"events {{}} stream {{ map a $x {{ ~*^a+ b; c d; }} {server} }}")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, file, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        'using regex "^a+" requires PCRE library | libpcre2-none.so.0 was not found;'
        " on Debian it is the package libpcre2-8-0\n"
    )
