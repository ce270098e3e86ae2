"""Numbers, sizes and times mean what they mean to nginx."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.config.values import LONGEST_MS, milliseconds, number, offset, seconds, size


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("9" * 100_000, None),
        ("0" * 100_000 + "5", 5),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        (" 1", None),
        ("\u0663", None),
        ("\xb2", None),
    ],
)
def test_numbers_are_digits_only(text, value):
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("512", 512), ("16k", 16384), ("3M", 3 << 20), ("1g", None), ("k", None), ("1kk", None)],
)
def test_sizes_take_k_and_m(text, value):
    assert size(text) == value


def test_offsets_also_take_g():
    assert offset("2g") == 2 << 30
    assert offset("9223372036854775807g") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10_000),
        ("10s", 10_000),
        ("500ms", 500),
        ("1h30m", 5_400_000),
        ("1h 30m 5s 7ms", 5_405_007),
        ("1w2d", 777_600_000),
        ("1m 30", 90_000),
        ("1s5", 6_000),
        ("1000000w", LONGEST_MS),
        ("1M", None),
        ("1y", None),
        ("1s1m", None),
        ("1m1m", None),
        ("m", None),
        ("", None),
        (" ", None),
        ("1x", None),
        ("-1s", None),
        ("9223372036854775807w", None),
    ],
)
def test_times_in_milliseconds(text, value):
    assert milliseconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("1y", 31_536_000),
        ("1M1d", 2_678_400),
        ("2m", 120),
        ("5ms", None),
        ("1d1y", None),
    ],
)
def test_times_in_seconds_take_years_and_no_milliseconds(text, value):
    assert seconds(text) == value


@settings(deadline=None)
@given(st.text("0123456789yMwdhms kKgG-.x", max_size=30))
def test_any_text_is_a_value_or_none(text):
    for read in (number, size, offset, milliseconds, seconds):
        value = read(text)
        assert value is None or value >= 0
