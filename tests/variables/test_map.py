"""`map` finds what nginx would find; tests/nginx compares with nginx itself."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.variables.computed import computed
from tidegate.variables.hostnames import WildcardError, Wildcards, split_wildcard
from tidegate.variables.map import Expression, Map
from tidegate.variables.template import Template, parse
from tidegate.variables.values import KEPT_VALUE, Values


class Session:
    """One that asks for `$key` and what is made of it."""

    def __init__(self, key=""):
        self.key = key
        self.values = None
        self.asked = 0
        self.told = []

    def compute(self):
        if self.values is None:
            self.values = Values()
        return self.values

    def tell(self, level, message):
        self.told.append((level, message))


def key(session):
    session.asked += 1
    return session.key


def mapped(*, texts=(), expressions=(), volatile=False, default="none"):
    """Getters of a map of `$key` with these lines."""
    one = Map(
        key=parse("$key"),
        default=parse(default),
        texts={text: parse(value) for text, value in dict(texts).items()},
        wildcards={},
        expressions=tuple(
            Expression(pattern, False, parse(value)) for pattern, value in expressions
        ),
        hostnames=False,
        volatile=volatile,
    )
    return computed({"m": one}, {"key": key})


def test_it_is_looked_into_once_unless_it_is_volatile():
    for volatile, asked in ((False, 1), (True, 3)):
        session = Session("a")
        get = mapped(texts={b"a": "one"}, volatile=volatile)["m"]
        assert [get(session) for _ in range(3)] == ["one"] * 3
        assert session.asked == asked


def test_bytes_that_are_no_text_come_back_as_they_were():
    session = Session(b"x\xff\xfe-".decode("utf-8", "surrogateescape"))
    getters = mapped(expressions=[(rb"^x(.)(.)", "$2$1")])
    assert getters["m"](session).encode("utf-8", "surrogateescape") == b"\xfe\xff"


def test_pieces_that_make_a_character_are_that_character():
    first = mapped(expressions=[(rb"^(.)(.)(.)$", "$1$2$3")])["m"](Session("漢"))
    assert mapped(texts={"漢".encode(): "found"})["m"](Session(first)) == "found"


def test_an_error_of_a_match_cannot_be_told_with_a_line_of_the_clients():
    session = Session("a" * 50 + "\nforged")
    assert mapped(expressions=[(b"^(a+)+$", "x")])["m"](session) == "none"
    ((level, message),) = session.told
    assert level == "alert"
    assert message.startswith("pcre2_match() failed: -47 on ")


class TestKept:
    def values(self):
        values = Values()
        values.begun = True
        values.known = {"a": "1", "b": None, "long": "x" * 9999}
        values.captures = (b"ab", b"a")
        return values

    def test_only_what_a_log_names_is_kept(self):
        kept = self.values().kept(frozenset({"a", "b", "c"}))
        assert kept.known == {"a": "1", "b": None}
        assert kept.captures == ()
        assert kept.begun
        assert kept.running is None

    def test_nothing_is_kept_for_nobody(self):
        assert self.values().kept(frozenset()) is None
        assert self.values().kept(frozenset({"c"})) is None

    def test_groups_are_kept_where_a_log_leads_to_one(self):
        assert self.values().kept(frozenset({"1"})).captures == (b"ab", b"a")

    def test_long_groups_are_cut_and_those_without_a_name_left_out(self):
        values = self.values()
        values.captures = (b"x" * 9999, None, *[b"y"] * 50)
        kept = values.kept(frozenset({"1"})).captures
        assert kept == (b"x" * KEPT_VALUE, None, *[b"y"] * 8)

    def test_long_values_are_cut(self):
        assert len(self.values().kept(frozenset({"long"})).known["long"]) == KEPT_VALUE


def test_a_template_that_ends_with_a_group_is_written_as_it_was():
    assert parse("$12") == Template((*parse("$1").parts, "2"))
    assert str(parse("$12")) == "$12"


LABELS = st.lists(st.sampled_from([b"a", b"b", b"", b"*", b"www"]), min_size=1, max_size=4)
NAMES = LABELS.map(b".".join)


def fits(kind, wildcard, name):
    """Whether a name fits, as the documentation has it."""
    if kind == ".*":
        return name.startswith(wildcard + b".")
    return name.endswith(b"." + wildcard) or (kind == "." and name == wildcard)


@given(st.lists(NAMES, max_size=6), NAMES)
def test_the_longest_wildcard_that_fits_is_found(wildcards, name):
    known = {}
    for one in wildcards:
        try:
            kind, rest = split_wildcard(one)
        except WildcardError:
            continue
        if kind and (kind == ".*" or not known.keys() & {("*.", rest), (".", rest)}):
            known[kind, rest] = (kind, rest)
    found = Wildcards(known).find(name)
    heads = [one for one in known if one[0] != ".*" and fits(*one, name)]
    tails = [one for one in known if one[0] == ".*" and fits(*one, name)]
    expected = max(heads or tails, key=lambda one: len(one[1]), default=None)
    assert found == expected


def test_a_name_of_dots_without_end_is_no_work():
    known = {("*.", b"a.example"): 1, (".*", b"www.a"): 2}
    names = Wildcards(known)
    began = time.process_time()
    for _ in range(100):
        assert names.find(b"b." * 32_000 + b"b") is None
        assert names.find(b"b." * 32_000 + b"a.example") == 1
        assert names.find(b"www.a." + b"b." * 32_000) == 2
    # Whoever looks at each part of it needs more than a second for one.
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (b"a.b", ("", b"a.b")), (b"*.a", ("*.", b"a")), (b".a", (".", b"a")),
        (b"a.*", (".*", b"a")), (b".", ("", b".")), (b"", ("", b"")), (b".*", (".", b"*")),
    ],
)  # fmt: skip
def test_a_name_is_split_at_its_wildcard(name, parts):
    assert split_wildcard(name) == parts


@pytest.mark.parametrize("name", [b"*", b"*.", b"a*", b"a.*.b", b"*.*", b"a..b", b"*a.b", b"a\0"])
def test_a_wildcard_elsewhere_is_refused(name):
    with pytest.raises(WildcardError):
        split_wildcard(name)
