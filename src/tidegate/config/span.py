"""Where a piece of configuration stands."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """A place in a file: `line` and `column` count from 1, columns in characters."""

    file: str
    line: int
    column: int
