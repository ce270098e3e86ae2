"""Percentiles are those of the sorted list, to 1/64."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.bench.histogram import Histogram

TIMES = st.lists(
    st.one_of(st.integers(0, 2**41), st.integers(0, 200), st.integers(10_000, 90_000)),
    min_size=1,
    max_size=200,
)


def filled(times):
    histogram = Histogram()
    for time in times:
        histogram.record(time)
    return histogram


@given(TIMES, st.floats(0, 100))
def test_a_percentile_is_that_of_the_sorted_list_and_at_most_a_64th_more(times, percent):
    histogram = filled(times)
    exact = sorted(times)[max(math.ceil(percent * len(times) / 100), 1) - 1]
    assert exact <= histogram.percentile(percent) <= exact + exact // 64


@given(TIMES)
def test_the_ends_are_exact(times):
    histogram = filled(times)
    assert (histogram.total, histogram.least, histogram.most) == (
        len(times),
        min(times),
        max(times),
    )
    assert histogram.percentile(100) == max(times)


@given(TIMES, TIMES)
def test_two_added_are_as_one(first, second):
    one, added = filled(first + second), filled(first)
    added.add(filled(second))
    for percent in (0, 50, 90, 99, 99.9, 100):
        assert added.percentile(percent) == one.percentile(percent)
    assert (added.least, added.most, added.total) == (one.least, one.most, one.total)


def test_an_empty_one_says_nought():
    histogram = Histogram()
    assert (histogram.total, histogram.percentile(99), histogram.least, histogram.most) == (
        0,
        0,
        0,
        0,
    )
    histogram.add(Histogram())
    assert histogram.total == 0


def test_a_time_beyond_all_buckets_counts_as_the_longest():
    histogram = filled([5, 2**60, -3])
    assert histogram.most == histogram.percentile(100) == 2**60
    assert histogram.least == 0


def test_cleared_it_starts_anew():
    histogram = filled([7, 8])
    histogram.clear()
    histogram.record(3)
    assert (histogram.total, histogram.most) == (1, 3)


@pytest.mark.parametrize("percent", [-1, 100.1])
def test_what_is_no_percentage_is_refused(percent):
    with pytest.raises(ValueError, match="no percentage"):
        filled([1]).percentile(percent)
