"""`split_clients` gives each key the value that nginx gives it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.variables.murmur import murmur2
from tidegate.variables.split_clients import HASHES, REST, SplitClients, limits, percent
from tidegate.variables.template import parse


def split(*parts):
    ends = limits([percent(share) for share, _value in parts])
    values = [value for _share, value in parts]
    return SplitClients(key=parse("$a"), parts=tuple(zip(ends, values, strict=True)))


@pytest.mark.parametrize(
    ("key", "number"),
    [
        (b"10.0.0.154321", 3719628462),
        (b"192.168.1.1050000", 2305552579),
        (b"2001:db8::155555", 50508642),
        (b"", 0),
    ],
)
def test_the_hash_is_nginxs(key, number):
    assert murmur2(key) == number


def restated(data):
    """MurmurHash2 by its description."""
    mix, bits = 0x5BD1E995, 0xFFFFFFFF
    number = len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * mix & bits
        word = (word ^ word >> 24) * mix & bits
        number = number * mix & bits ^ word
    if data[whole:]:
        number = (number ^ int.from_bytes(data[whole:], "little")) * mix & bits
    number = (number ^ number >> 13) * mix & bits
    return number ^ number >> 15


@given(st.binary(max_size=40) | st.binary(min_size=1000, max_size=1003))
def test_the_hash_is_murmurhash2(data):
    assert murmur2(data) == restated(data)


@pytest.mark.parametrize(
    ("key", "value"), [("10.0.0.154321", 23), ("192.168.1.1050000", 21), ("2001:db8::155555", 5)]
)
def test_the_pages_table_of_five_addresses(key, value):
    table = split(("20%", 5), ("20%", 6), ("20%", 21), ("20%", 22), ("*", 23))
    assert table.choose(key.encode()) == value


def test_limits_are_rounded_down_one_by_one():
    third = 3333 * (HASHES - 1) // 10_000
    assert list(limits([3333, 3333, 3333])) == [third, 2 * third, 3 * third]


@pytest.mark.parametrize("shares", [[10_000], [5000, 5000], [1, 9999], [2500, REST], [REST, REST]])
def test_what_makes_100_percent_has_all_that_is_left(shares):
    assert list(limits(shares))[-1] == HASHES


@pytest.mark.parametrize(
    ("shares", "sound"), [([5000, 5001], 1), ([10_001], 0), ([REST, 1], 1), ([5000, REST, 1], 2)]
)
def test_more_than_100_percent_is_refused_where_it_comes_to_that(shares, sound):
    ends = limits(shares)
    assert len([next(ends) for _ in range(sound)]) == sound
    with pytest.raises(ValueError, match=r"^percent total is greater than 100%$"):
        next(ends)


def test_what_no_share_holds_is_empty():
    assert split(("0.01%", "a")).choose(b"10.0.0.154321") == ""
    assert split().choose(b"x") == ""


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("*", REST), ("20%", 2000), ("0.5%", 50), (".5%", 50), ("20.%", 2000), ("33.33%", 3333),
        ("007%", 700), ("100%", 10_000),
        ("", None), ("%", None), (".%", None), ("20", None), ("0%", None), ("0.00%", None),
        ("1.234%", None), ("-1%", None), ("+1%", None), ("1,5%", None), ("1 %", None),
        ("٣%", None), ("**", None),
    ],
)  # fmt: skip
def test_a_share_is_read_as_nginx_reads_it(text, share):
    assert percent(text) == share


def test_a_share_beyond_all_numbers_is_more_than_100_percent():
    assert percent("9" * 4000 + "%") > 10_000
