"""Which interval of numbers a number is in: what `geo` makes of networks and ranges."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from tidegate.dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """All numbers from 0 on, each with a value: `values[n]` is for those from `starts[n]` on.

    `starts` begins with 0 and rises.
    """

    starts: Sequence[int]
    values: Sequence[str]

    def find(self, number: int) -> str:
        """The value of a number."""
        return self.values[bisect_right(self.starts, number) - 1]


class Line:
    """Numbers from 0 on, to which values are given from left to right."""

    def __init__(self, value: str) -> None:
        """`value` is that of all numbers."""
        self._starts = [0]
        self._values = [value]

    def turn(self, at: int, value: str) -> None:
        """From `at` on it is another value; `at` never falls."""
        if self._starts[-1] == at:
            self._starts.pop()
            self._values.pop()
        if not self._values or self._values[-1] != value:
            self._starts.append(at)
            self._values.append(value)

    def intervals(self) -> Intervals:
        """What came of it."""
        return Intervals(starts=tuple(self._starts), values=tuple(self._values))


def from_networks(networks: Mapping[tuple[int, int], str], *, bits: int, rest: str) -> Intervals:
    """Of several networks that hold a number the smallest counts.

    `networks` are values by first number and length of prefix; `rest` is for what is in none.
    """
    end_of_all = 1 << bits
    line = Line(rest)
    around = [(end_of_all, rest)]
    for (base, length), value in sorted(networks.items()):
        _leave(line, around, base)
        line.turn(base, value)
        around.append((base + (1 << bits - length), value))
    _leave(line, around, end_of_all - 1)
    return line.intervals()


def _leave(line: Line, around: list[tuple[int, str]], at: int) -> None:
    """Come out of the networks that end at or before a number."""
    while around[-1][0] <= at:
        end, _value = around.pop()
        line.turn(end, around[-1][1])


def from_ranges(ranges: Iterable[tuple[int, int, str]], *, rest: str) -> Intervals:
    """Ranges are first and last number and value; they rise, and none meets another."""
    line = Line(rest)
    for first, last, value in ranges:
        line.turn(first, value)
        line.turn(last + 1, rest)
    return line.intervals()
