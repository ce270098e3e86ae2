"""Where a piece of configuration stands."""

from __future__ import annotations

from typing import Final, NamedTuple

# The `file` of what was given by `-g`; nginx says it so in its messages.
COMMAND_LINE: Final = "command line"


class Span(NamedTuple):
    """A place in a file: `line` and `column` count from 1, columns in characters."""

    file: str
    line: int
    column: int
