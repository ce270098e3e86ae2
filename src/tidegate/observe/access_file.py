"""The file of an access log: lines wait for the end of the turn, or until a buffer is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.observe.losses import Losses
from tidegate.observe.outlet import Outlet

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from tidegate.config.model import LogBuffer

# How often a pipe that is full is asked again.
AGAIN_SECONDS = 0.05


class AccessFile:
    """One log file of this process: `write` takes lines, `flush` puts out what waits.

    Without a buffer the lines of one turn of `loop` go out in one write: some 20 KB, as a turn ends
    64 sessions at most. `told` gets messages about lines that are lost.
    """

    def __init__(
        self, fd: int, loop: asyncio.AbstractEventLoop, *, name: str, told: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._outlet = Outlet(fd, name=name, losses=Losses(name, told))
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def write(self, line: str) -> None:
        """Put a line on its way."""
        if not self._lines:
            self._loop.call_soon(self.flush)
        self._lines.append(line)

    def flush(self) -> None:
        """Write what waits."""
        lines, self._lines = self._lines, []
        if lines:
            self.put(("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"))

    def put(self, data: bytes) -> None:
        """Write whole lines; what a pipe does not take is tried again."""
        self._outlet.put(data)
        if self._outlet.waiting and self._timer is None:
            self._timer = self._loop.call_later(AGAIN_SECONDS, self._again)

    def _again(self) -> None:
        self._timer = None
        self._outlet.push()
        if self._outlet.waiting:
            self._timer = self._loop.call_later(AGAIN_SECONDS, self._again)

    def leave(self) -> None:
        """Nobody will say `flush` or `finish` any more."""

    def finish(self) -> None:
        """Write what waits for the last time, and tell what is lost."""
        self.flush()
        self._outlet.finish()


class BufferedFile(AccessFile):
    """As above with nginx's `buffer=` and `flush=`: written when full, after a time, at the end."""

    def __init__(
        self,
        fd: int,
        loop: asyncio.AbstractEventLoop,
        *,
        name: str,
        told: Callable[[str], None],
        buffer: LogBuffer,
    ) -> None:
        super().__init__(fd, loop, name=name, told=told)
        self._size = buffer.size
        self._flush_seconds = buffer.flush_ms / 1000
        self._bytes = 0
        self._flusher: asyncio.TimerHandle | None = None

    def write(self, line: str) -> None:
        """Keep a line; one that does not fit sends out those before it, as in nginx."""
        length = (len(line) if line.isascii() else len(_bytes(line))) + 1
        if self._bytes + length > self._size:
            self.flush()
            if length > self._size:
                self.put(_bytes(line) + b"\n")
                return
        if not self._lines and self._flush_seconds:
            self._flusher = self._loop.call_later(self._flush_seconds, self.flush)
        self._lines.append(line)
        self._bytes += length

    def leave(self) -> None:
        """Keep nothing back from now on."""
        self.flush()
        self._size = 0

    def flush(self) -> None:
        """Write what waits."""
        if self._flusher is not None:
            self._flusher.cancel()
            self._flusher = None
        self._bytes = 0
        super().flush()


def _bytes(line: str) -> bytes:
    return line.encode("utf-8", "surrogateescape")
