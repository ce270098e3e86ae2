"""Variables that a configuration defines: found out when a session asks, and remembered for it.

As in nginx a value is found out once for a session, whatever changes later; `volatile` ones each
time. What `set` and the groups of regular expressions gave is remembered in the same place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from tidegate.variables.split_clients import SplitClients
from tidegate.variables.template import DIGITS, compile_template, names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

# Characters that are kept of each value while a session is relayed, for its log line: a client may
# give 65,535 to be put together, and nobody reads that many.
KEPT_VALUE: Final = 512


@dataclass(frozen=True, slots=True)
class Assigned:
    """A variable that has the value last given to it, before that `empty`.

    Those of `set` are "" before, those of groups in regular expressions are "not found".
    """

    empty: str | None


if TYPE_CHECKING:
    Definition: TypeAlias = SplitClients | Assigned


class Values:
    """The computed variables of one session.

    `begun` tells that the server's `set` were done. `running` are those being found out now.
    """

    __slots__ = ("begun", "captures", "known", "running")

    def __init__(self) -> None:
        self.begun = False
        self.known: dict[str, str | None] = {}
        self.captures: tuple[bytes | None, ...] = ()
        self.running: set[str] = set()

    def kept(self, logged: frozenset[str]) -> Values | None:
        """What the log line of a session will need of this; None for nothing."""
        known = {name: cut(self.known[name]) for name in logged & self.known.keys()}
        captures = () if logged.isdisjoint(DIGITS) else self.captures
        if not known and not captures:
            return None
        values = Values()
        values.known = known
        values.captures = captures
        return values


def cut(value: str | None) -> str | None:
    """As much of a value as is kept for logs."""
    return None if value is None else value[:KEPT_VALUE]


class Asker(Protocol):
    """What a session is to computed variables."""

    values: Values | None

    def compute(self) -> Values:
        """The session's `values`, begun: with the `set` of its server done."""

    def tell(self, level: str, message: str) -> None:
        """A line in the error log."""


S = TypeVar("S", bound=Asker)


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
    asked = {
        name: every.get(name) or getters[name]
        for definition in definitions.values()
        for name in reads(definition)
    }
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
        case SplitClients():
            key, choose = compile_template(definition.key, getters), definition.choose
            return lambda session: choose(encode(key(session)))
        case Assigned(empty=empty):
            return lambda _session: empty


def is_volatile(_definition: Definition) -> bool:
    """Whether a value is found out anew each time."""
    return False


def sources(definition: Definition) -> set[str]:
    """The variables that a value is found by."""
    match definition:
        case SplitClients():
            return names(definition.key)
        case Assigned():
            return set()


def reads(definition: Definition) -> set[str]:
    """The variables that a definition names, those in its values too."""
    return sources(definition)


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


def encode(text: str) -> bytes:
    """The bytes of a value; those that are no UTF-8 stand in texts as lone surrogates."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """A value from its bytes."""
    return data.decode("utf-8", "surrogateescape")
