"""Variables that a configuration defines: found out when a session asks, and remembered for it.

As in nginx a value is found out once for a session, whatever changes later; `volatile` ones each
time. What `set` and the groups of regular expressions gave is remembered in the same place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from tidegate.dataclasses import dataclass
from tidegate.variables import geo as geos
from tidegate.variables.geo import Geo
from tidegate.variables.map import Finder, Map
from tidegate.variables.split_clients import SplitClients
from tidegate.variables.template import DIGITS, compile_template, names
from tidegate.variables.values import S, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Assigned:
    """A variable that has the value last given to it, before that `empty`.

    Those of `set` are "" before, those of groups in regular expressions "not found" (None).
    """

    empty: str | None


if TYPE_CHECKING:
    Definition: TypeAlias = Map | Geo | SplitClients | Assigned


class Computed(Generic[S]):
    """A variable of a definition; to call it gives the value for a session."""

    __slots__ = ("_compute", "_name", "_volatile")

    def __init__(self, name: str, *, volatile: bool) -> None:
        self._name = name
        self._volatile = volatile

    def by(self, compute: Callable[[S], str | None]) -> None:
        """How the value is found out; it may ask for other variables, so it comes later."""
        self._compute = compute

    def __call__(self, session: S) -> str | None:
        """The value; None where there is none, or in a cycle."""
        values = session.values
        if values is None or self._name not in values.known:
            values = session.compute()
        name, known, running = self._name, values.known, values.running
        if name in known:
            return known[name]
        if running is None:
            running = values.running = set()
        if name in running:
            session.tell("error", f'cycle while evaluating variable "{name}"')
            return None
        running.add(name)
        try:
            value: str | None = self._compute(session)
        finally:
            running.discard(name)
        if not self._volatile:
            known[name] = value
        return value


def computed(
    definitions: Mapping[str, Definition], getters: Mapping[str, Callable[[S], str | None]]
) -> dict[str, Callable[[S], str | None]]:
    """Getters of the variables of `definitions`, which may read each other and those of `getters`.

    `$1` to `$9` are among them.
    """
    made: dict[str, Computed[S]] = {
        name: Computed(name, volatile=is_volatile(one)) for name, one in definitions.items()
    }
    every: dict[str, Callable[[S], str | None]] = {}
    every |= {name: _capture(int(name)) for name in DIGITS}
    every |= made
    asked = {name: every.get(name) or getters[name] for name in needed(set(made), definitions)}
    if geos.TOLD_ADDRESS in getters:
        asked[geos.TOLD_ADDRESS] = getters[geos.TOLD_ADDRESS]
    for name, definition in definitions.items():
        made[name].by(_compute(definition, asked))
    return every


def _capture(number: int) -> Callable[[S], str | None]:
    def read(session: S) -> str | None:
        captures = session.compute().captures
        found = captures[number] if number < len(captures) else None
        return None if found is None else decode(found)

    return read


def _compute(
    definition: Definition, getters: Mapping[str, Callable[[S], str | None]]
) -> Callable[[S], str | None]:
    match definition:
        case Map():
            return Finder(definition, getters)
        case Geo():
            return geos.finder(definition, getters)
        case SplitClients():
            key, choose = compile_template(definition.key, getters), definition.choose
            return lambda session: choose(encode(key(session)))
        case Assigned(empty=empty):
            return lambda _session: empty


def is_volatile(definition: Definition) -> bool:
    """Whether a value is found out anew each time."""
    return isinstance(definition, Map) and definition.volatile


def sources(definition: Definition) -> set[str]:
    """The variables that a value is found by."""
    match definition:
        case Map() | SplitClients():
            return names(definition.key)
        case Geo():
            return {definition.address}
        case Assigned():
            return set()


def reads(definition: Definition) -> set[str]:
    """The variables that a definition names, those in its values too."""
    if not isinstance(definition, Map):
        return sources(definition)
    return sources(definition).union(*(names(value) for value in definition.values))


def constants(definition: Definition) -> list[str]:
    """The values without variables that a session may get, each once; "" is none."""
    found: list[str | None] = []
    match definition:
        case Map():
            found = [value.constant for value in definition.values]
        case Geo():
            found = [*definition.inet.values, *definition.inet6.values]
        case SplitClients(parts=parts):
            found = [value for _limit, value in parts]
    return list(dict.fromkeys(value for value in found if value))


def needed(wanted: set[str], definitions: Mapping[str, Definition]) -> set[str]:
    """All variables that may be read for the wanted ones, themselves among them."""
    found: set[str] = set()
    more = set(wanted)
    while more:
        found |= more
        more = {
            name for one in more if one in definitions for name in reads(definitions[one])
        } - found
    return found
