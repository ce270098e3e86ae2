"""Lines that a log did not take: counted, told of once when it begins and once when it is over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# A reader that is a little too slow loses lines and takes others all the time. The end is told
# when a log has been well for as long as this.
CALM_SECONDS = 1.0


class Losses:
    """What one log has lost; `tell` gets the two messages about it."""

    __slots__ = ("_last", "_name", "_tell", "count")

    def __init__(self, name: str, tell: Callable[[str], None]) -> None:
        self._name = name
        self._tell = tell
        self._last = 0.0
        self.count = 0  # since the log was last said to be well

    def lose(self, lines: int, why: str) -> None:
        """So many more are lost."""
        self._last = time.monotonic()
        if not self.count:
            self._tell(f"{why}, lines are lost")
        self.count += lines

    def gain(self) -> None:
        """The log took what it was given."""
        if self.count and time.monotonic() - self._last >= CALM_SECONDS:
            self._tell(f'"{self._name}" is written again, {self.count} lines were lost')
            self.count = 0

    def finish(self) -> None:
        """There will be no more lines: tell how many were lost, if that is not told yet."""
        if self.count:
            self._tell(f'{self.count} lines for "{self._name}" were lost')
            self.count = 0
