"""Directives that define variables."""

from __future__ import annotations

from tidegate.config.row import FREE, Row

STREAM = ("stream",)

PROOFS = "tests/stream/test_variables.py"


def _row(
    name: str, doc: str, *, args: str, contexts: tuple[str, ...] = STREAM, opens: str = FREE
) -> Row:
    return Row(
        name=name,
        contexts=contexts,
        args=args,
        opens=opens,
        doc=doc,
        proof=f"{PROOFS}::test_{name}",
    )


ROWS: tuple[Row, ...] = (
    _row(
        "map",
        "Gives a variable a value by a text: by its name, wildcard or regular expression.",
        args="2",
    ),
    _row(
        "geo",
        "Gives a variable a value by an address: by its network or range.",
        args="1,2",
    ),
    _row(
        "split_clients",
        "Gives a variable one of several values, each for a share of all clients.",
        args="2",
    ),
    _row(
        "set",
        "Gives a variable a value in the sessions of a server.",
        args="2",
        contexts=("stream.server",),
        opens="",
    ),
)
