"""The one table of directives: where each may stand, what it takes, what we do with it.

The rows stand in `grammar_main`, `grammar_stream`, `grammar_access`, `grammar_variables`,
`grammar_mqtt`, `grammar_ssl` and `grammar_http`; here is how they are found.
To make a directive work, change its row from `Status.LATER` to `Status.HERE`.
"""

from __future__ import annotations

from tidegate.config import (
    grammar_access,
    grammar_http,
    grammar_main,
    grammar_mqtt,
    grammar_ssl,
    grammar_stream,
    grammar_variables,
)
from tidegate.config.row import ANYWHERE, CONTEXTS, Row, Status

TABLE: tuple[Row, ...] = (
    *grammar_main.ROWS,
    *grammar_stream.ROWS,
    *grammar_variables.ROWS,
    *grammar_access.ROWS,
    *grammar_mqtt.ROWS,
    *grammar_ssl.ROWS,
    *grammar_http.ROWS,
)


def _index() -> dict[str, tuple[Row, ...]]:
    rows: dict[str, tuple[Row, ...]] = {}
    for row in TABLE:
        rows[row.name] = (*rows.get(row.name, ()), row)
    return rows


BY_NAME = _index()
BY_PLACE = {(row.name, context): row for row in TABLE for context in row.contexts}


def rows_of(name: str) -> tuple[Row, ...]:
    """All rows of a name: a `server` stands in several places."""
    return BY_NAME.get(name, ())


def find(name: str, context: str) -> Row | None:
    """The row of a directive in a context; None where it may not stand."""
    row = BY_PLACE.get((name, context))
    return BY_PLACE.get((name, *ANYWHERE)) if row is None else row


def _fits(row: Row, context: str) -> bool:
    return context in row.contexts or row.contexts == ANYWHERE


def names_in(context: str) -> list[str]:
    """The directives that work, or are accepted, in a context; for hints."""
    usable = (Status.HERE, Status.IGNORED, Status.LATER)
    return [row.name for row in TABLE if _fits(row, context) and row.status in usable]


def where(name: str) -> str:
    """Where a directive may stand, in words for a hint."""
    contexts = [context for row in rows_of(name) for context in row.contexts]
    return " or ".join(CONTEXTS[context] for context in CONTEXTS if context in contexts)
