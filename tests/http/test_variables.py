"""The variables of http: what a configuration may use has a value, and nothing else."""

from __future__ import annotations

import pytest

from tidegate.http.variables import GETTERS, LATE, NOT_OF_STREAM
from tidegate.variables import names_http


def test_every_name_that_a_configuration_may_use_has_a_value_and_no_other():
    assert set(GETTERS) == set(names_http.HTTP)


def test_what_a_log_line_asks_late_is_a_variable():
    assert set(GETTERS) >= LATE
    assert not NOT_OF_STREAM & set(GETTERS)


@pytest.mark.parametrize("prefix", names_http.PREFIXES)
def test_each_prefix_has_values(prefix):
    assert callable(GETTERS[f"{prefix}some_name"])


def test_other_names_have_none():
    with pytest.raises(KeyError):
        GETTERS["http"]
