"""Variables that are defined by themselves, or through too many others."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from tidegate.config.draft import in_protocol
from tidegate.variables.computed import reads, sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidegate.config.draft import Reading

# Variables that one may need one behind the other. Each takes some five calls within each other,
# and Python has 1000.
DEEPEST = 100


def finish_cycles(reading: Reading) -> None:
    """Refuse variables that always need themselves, and warn of those that may."""
    definitions = in_protocol(reading).definitions
    every = {name: reads(one) & definitions.keys() for name, one in definitions.items()}
    always = {name: sources(one) & definitions.keys() for name, one in definitions.items()}
    for circle in _circles(always):
        message = f'cycle while evaluating variable "{circle[0]}"'
        hint = f"{_needs(circle)}, so it never has a value"
        reading.report.error(message, in_protocol(reading).defined_at[circle[0]], hint=hint)
        for name in circle:
            every[name] = set()  # it was told
    for circle in _circles(every):
        message = f'possible cycle while evaluating variable "{circle[0]}"'
        hint = f"{_needs(circle)} where the values lead so"
        reading.report.warn(message, in_protocol(reading).defined_at[circle[0]], hint=hint)
    depths = _depths(every)
    found = next((name for name in every if depths[name] > DEEPEST), None)
    if found is not None:
        message = f'too many variables are needed one behind the other for "{found}"'
        hint = f"{depths[found]} are, {DEEPEST} may be"
        reading.report.error(message, in_protocol(reading).defined_at[found], hint=hint)


def _depths(needs: dict[str, set[str]]) -> dict[str, int]:
    """The variables on the longest way that begins at each; a circle is gone through once."""
    left = {name: set(others) for name, others in needs.items()}
    while True:
        try:
            order = list(TopologicalSorter(left).static_order())
        except CycleError as error:
            left[error.args[1][1]] = set()
        else:
            break
    depths: dict[str, int] = {}
    for name in order:
        depths[name] = 1 + max((depths[other] for other in left.get(name, ())), default=0)
    return depths


def _circles(needs: dict[str, set[str]]) -> Iterator[list[str]]:
    """Ways from a variable to itself, each in one at most; the first defined comes first."""
    left = {name: set(others) for name, others in needs.items()}
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            # Each is needed by the next, and the last is the first.
            way: list[str] = error.args[1][:0:-1]
            first = way.index(next(name for name in left if name in way))
            yield way[first:] + way[:first]
            left = {name: set() if name in way else others for name, others in left.items()}
        else:
            return


def _needs(circle: list[str]) -> str:
    return " needs ".join(f"${name}" for name in [*circle, circle[0]])
