"""One row of the table of directives."""

from __future__ import annotations

from enum import Enum

from tidegate.dataclasses import dataclass


class Status(Enum):
    """What tidegate does with a directive."""

    HERE = "here"
    IGNORED = "ignored, warned"
    LATER = "refused: not supported yet"
    REFUSED = "refused"


class Kind(Enum):
    """How the value of a directive is read; SPECIAL ones have a function of their own."""

    SPECIAL = "special"
    FLAG = "on | off"
    TEXT = "text"
    NUMBER = "number"
    SIZE = "size"
    OFFSET = "size, also in g"
    TIME = "time"
    SECONDS = "time in whole seconds"
    RATE = "bytes per second"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A directive: where it may stand, what it takes, and what we do with it.

    `args` is the number of arguments: "0", "1,2", "1+", or "flag". `opens` is the context inside
    the directive's block; "" for one without a block. `default` is nginx's, in nginx's notation.
    `reason` says why a directive is ignored or refused; `always` is the value that such a one has
    in effect, of which nobody is warned. `proof` is the pytest node of the test
    in which two values of it behave differently.
    """

    name: str
    contexts: tuple[str, ...]
    args: str
    doc: str = ""
    kind: Kind = Kind.SPECIAL
    default: str | None = None
    opens: str = ""
    status: Status = Status.HERE
    reason: str = ""
    always: str = ""
    proof: str | None = None

    def takes(self, count: int) -> bool:
        """Whether the directive may have `count` arguments."""
        if self.args == "flag":
            return count == 1
        if self.args.endswith("+"):
            return count >= int(self.args[:-1])
        return str(count) in self.args.split(",")


def group(
    names: str,
    *,
    contexts: tuple[str, ...],
    args: str,
    status: Status,
    opens: str = "",
    reason: str = "",
    always: str = "",
) -> tuple[Row, ...]:
    """Rows of directives (`names`, with spaces between them) that are alike in all but the name."""
    kind = Kind.FLAG if args == "flag" else Kind.SPECIAL
    return tuple(
        Row(
            name=name,
            contexts=contexts,
            args=args,
            kind=kind,
            opens=opens,
            status=status,
            reason=reason,
            always=always,
        )
        for name in names.split()
    )


def later(
    reason: str, args: str, names: str, *, contexts: tuple[str, ...], opens: str = ""
) -> tuple[Row, ...]:
    """Rows of directives that are known and refused, for one reason."""
    return group(
        names, contexts=contexts, args=args, status=Status.LATER, opens=opens, reason=reason
    )


# Contexts, outermost first, as a reader would say them.
CONTEXTS: dict[str, str] = {
    "main": 'at the top level, outside of "stream {}" and "http {}"',
    "events": 'in "events {}"',
    "stream": 'in "stream {}"',
    "stream.server": 'in "server {}" of "stream {}"',
    "stream.upstream": 'in "upstream {}" of "stream {}"',
    "http": 'in "http {}"',
    "http.server": 'in "server {}" of "http {}"',
    "http.location": 'in "location {}" of "http {}"',
    "http.upstream": 'in "upstream {}" of "http {}"',
}

# The contexts of a directive that may stand in all of these.
ANYWHERE = ("any",)

# Blocks whose contents are no directives: types, map and their like.
FREE = "free"
