"""Ranges of `geo` meet each other by nginx's rules; tests/nginx compares with nginx itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config.address_ranges import AddressRanges, OverlapError

ENDS = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted)


def made(*ranges):
    found = AddressRanges()
    for first, last, value in ranges:
        assert list(found.add(first, last, value)) == []
    return found


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ((3, 5), [(0, 2, "a"), (3, 5, "b"), (6, 9, "a")]),
        ((0, 5), [(0, 5, "b"), (6, 9, "a")]),
        ((5, 9), [(0, 4, "a"), (5, 9, "b")]),
        ((10, 12), [(0, 9, "a"), (10, 12, "b")]),
    ],
)
def test_one_inside_of_another_splits_it(inner, expected):
    assert list(made((0, 9, "a"), (*inner, "b"))) == expected


def test_the_same_one_gets_the_new_value_and_gives_the_old_one():
    found = made((0, 9, "a"))
    assert list(found.add(0, 9, "b")) == ["a"]
    assert list(found) == [(0, 9, "b")]


@pytest.mark.parametrize("ends", [(5, 12), (2, 7), (2, 12)])
def test_one_that_overlaps_is_refused_with_the_other_one(ends):
    found = made((4, 9, "a"))
    with pytest.raises(OverlapError, match=r"^0\.0\.0\.4-0\.0\.0\.9$"):
        list(found.add(*ends, "b"))


def test_one_over_many_blocks_is_in_each_of_them():
    found = made((0x0A00_FFFF, 0x0A03_0000, "a"))
    assert list(found) == [
        (0x0A00_FFFF, 0x0A00_FFFF, "a"),
        (0x0A01_0000, 0x0A01_FFFF, "a"),
        (0x0A02_0000, 0x0A02_FFFF, "a"),
        (0x0A03_0000, 0x0A03_0000, "a"),
    ]
    assert found.delete(0x0A01_0000, 0x0A02_FFFF)
    assert len(list(found)) == 2
    assert not found.delete(0x0A01_0000, 0x0A02_FFFF)


@given(st.lists(ENDS, max_size=12))
def test_the_last_one_given_counts_for_each_address(many):
    found = AddressRanges()
    values = {}
    for number, (first, last) in enumerate(many):
        try:
            list(found.add(first, last, str(number)))
        except OverlapError:
            continue
        values |= dict.fromkeys(range(first, last + 1), str(number))
    assert {at: value for first, last, value in found for at in range(first, last + 1)} == values
    assert list(found) == sorted(found)
