"""Variables that are defined by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.draft import in_stream
from tidegate.variables.computed import reads, sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.config.draft import Reading
    from tidegate.variables.computed import Definition


def finish_cycles(reading: Reading) -> None:
    """Refuse variables that always need themselves, and warn of those that may."""
    definitions = in_stream(reading).definitions
    told: set[str] = set()
    for name in definitions:
        always = _circle(name, definitions, sources)
        circle = always or _circle(name, definitions, reads)
        if not circle or name in told:
            continue
        told.update(circle)
        span = in_stream(reading).defined_at[name]
        needs = " needs ".join(f"${one}" for one in [*circle, name])
        if always:
            message = f'cycle while evaluating variable "{name}"'
            reading.report.error(message, span, hint=f"{needs}, so it never has a value")
        else:
            message = f'possible cycle while evaluating variable "{name}"'
            reading.report.warn(message, span, hint=f"{needs} where the values lead so")


def _circle(
    name: str, definitions: dict[str, Definition], reads: Callable[[Definition], set[str]]
) -> list[str]:
    """The shortest way from a variable to itself, it first; empty where there is none."""
    before = {name: ""}
    waiting = [name]
    for one in waiting:
        for other in sorted(reads(definitions[one]) & definitions.keys()):
            if other == name:
                return _way(one, before)
            if other not in before:
                before[other] = one
                waiting.append(other)
    return []


def _way(last: str, before: dict[str, str]) -> list[str]:
    way = [last]
    while before[way[-1]]:
        way.append(before[way[-1]])
    return way[::-1]
