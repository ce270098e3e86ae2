"""What a session remembers of computed variables, and what it is to them."""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

from tidegate.variables.template import DIGITS

# Characters that are kept of each value while a session is relayed, for its log line: a client may
# give 65,535 to be put together, and nobody reads that many.
KEPT_VALUE: Final = 512

CAPTURES: Final = 10  # $1 to $9, and before them all that was matched


class Values:
    """The computed variables of one session, by name; None is "not found".

    `begun` tells that the server's `set` were done. `captures` are the groups of the expression
    that matched last. `running` are the variables being found out now, None before the first.
    """

    __slots__ = ("begun", "captures", "known", "running")

    def __init__(self) -> None:
        self.begun = False
        self.captures: tuple[bytes | None, ...] = ()
        self.known: dict[str, str | None] = {}
        self.running: set[str] | None = None

    def kept(self, logged: frozenset[str]) -> Values | None:
        """What the log line of a session will need of this; None for nothing."""
        known = {name: cut(self.known[name]) for name in logged & self.known.keys()}
        captures: tuple[bytes | None, ...] = ()
        if not logged.isdisjoint(DIGITS):
            captures = tuple(part and part[:KEPT_VALUE] for part in self.captures[:CAPTURES])
        if not known and not captures:
            return None
        values = Values()
        values.begun = self.begun
        values.known = known
        values.captures = captures
        return values


def cut(value: str | None) -> str | None:
    """As much of a value as is kept for logs."""
    return None if value is None else value[:KEPT_VALUE]


class Asker(Protocol):
    """A session, for the variables that it asks for."""

    values: Values | None

    def compute(self) -> Values:
        """The session's `values`, begun: with the `set` of its server done."""

    def tell(self, level: str, message: str) -> None:
        """A line in the error log."""


S = TypeVar("S", bound=Asker)


def encode(text: str) -> bytes:
    """The bytes of a value; those that are no UTF-8 stand in texts as lone surrogates."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """A value from its bytes."""
    return data.decode("utf-8", "surrogateescape")
