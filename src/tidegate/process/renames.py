"""When names that mean something else are put in force: soon, or later where that has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

# One change of names for all whose answers come at about the same time; and how long it is until
# one is tried again that could not be put in force: twice as long each time.
GATHER_SECONDS = 0.05
AGAIN_SECONDS = 5.0
LONGEST_AGAIN_SECONDS = 40.0


class Renames:
    """The time of the next change; `begin` is called when it has come."""

    def __init__(self, loop: asyncio.AbstractEventLoop, begin: Callable[[], None]) -> None:
        self._loop = loop
        self._begin = begin
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0  # by the clock of the loop
        self._pause = AGAIN_SECONDS

    @property
    def may_begin(self) -> bool:
        """Whether there is nothing to wait for."""
        return self._loop.time() >= self._not_before

    def changed(self) -> None:
        """A name means something else."""
        if self._timer is None:
            self._later(GATHER_SECONDS)

    def failed(self) -> None:
        """What names mean could not be put in force."""
        self._later(self._pause)
        self._pause = min(2 * self._pause, LONGEST_AGAIN_SECONDS)

    def succeeded(self) -> None:
        """What names mean is in force, as far as it was known."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._not_before = 0.0
        self._pause = AGAIN_SECONDS

    def _later(self, seconds: float) -> None:
        self._not_before = self._loop.time() + seconds
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        self._not_before = 0.0
        self._begin()
