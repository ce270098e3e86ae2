"""Where the demo writes: news as lines; on a terminal a table below them that is drawn anew."""

from __future__ import annotations

import re
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Screen:
    """Prints to `out`; a table is redrawn in place when that is a terminal."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self.terminal = self._out.isatty()
        self._table = ""

    def say(self, text: str) -> None:
        """Print lines; a table stays below them."""
        self._write(self._erase() + CONTROL.sub("?", text) + "\n" + self._table)

    def draw(self, table: str) -> None:
        """Put a table in the place of the last one."""
        erase = self._erase()
        lines = CONTROL.sub("?", table).split("\n")
        if self.terminal:  # a line that wraps would not be erased whole
            width = shutil.get_terminal_size().columns - 1
            lines = [line[:width] for line in lines]
        text = "\n".join(lines) + "\n"
        self._table = text if self.terminal else ""
        self._write(erase + text)

    def _erase(self) -> str:
        """What takes the table off the screen."""
        lines = self._table.count("\n")
        return f"\x1b[{lines}F\x1b[J" if lines else ""

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
