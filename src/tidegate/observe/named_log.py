"""An access log whose path has variables: each line may go to another file.

A worker opens these itself, so its user must be allowed to. Clients may have chosen a part of the
path: it can lead no further up than the folder that the configuration names, and what it names
holds nothing that a terminal would obey.
"""

from __future__ import annotations

import os
import time
from errno import EINVAL
from typing import TYPE_CHECKING

from tidegate.observe.losses import Losses
from tidegate.observe.opening import open_log
from tidegate.observe.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.config.model import OpenLogFiles


class NamedLog:
    """The files of one `access_log`; `folder` is where its path is certain to stay below.

    With `cache` files stay open between lines: the least used one goes when there are too many.
    """

    def __init__(
        self,
        name: str,
        *,
        folder: str,
        cache: OpenLogFiles | None,
        told: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._cache = cache
        self._losses = Losses(name, told)
        self._open: dict[str, OpenFile] = {}  # the one used last stands last

    def write(self, path: str, line: str) -> None:
        """Append a line to the file `path`."""
        try:
            _check(path, self._folder)
            file = self._take(path)
        except OSError as error:
            shown = path if path.isprintable() else ascii(path)[1:-1]
            self._losses.lose(1, f'open() "{shown}" failed ({error.errno}: {error.strerror})')
            return
        file.put(line)
        self._keep(path, file)

    def close(self) -> None:
        """Let go of every file; they are opened again when a line comes."""
        for file in self._open.values():
            file.close()
        self._open.clear()

    def finish(self) -> None:
        """Close all, and tell what is lost."""
        self.close()
        self._losses.finish()

    def _take(self, path: str) -> OpenFile:
        """The file, open; raises OSError."""
        file = self._open.pop(path, None)
        if file is None:
            file = OpenFile(path, self._losses)
        elif self._cache is not None and time.monotonic() - file.checked >= self._cache.valid:
            file.check()
        file.open()
        return file

    def _keep(self, path: str, file: OpenFile) -> None:
        """Leave a file open for its next line, or close it; and close those of long ago."""
        cache = self._cache
        if cache is None:
            file.close()
            return
        now = file.used = time.monotonic()
        if file.uses < cache.min_uses:
            file.close()
        self._open[path] = file
        while self._open:
            first = next(iter(self._open))
            oldest = self._open[first]
            if len(self._open) <= cache.limit and now - oldest.used <= cache.inactive:
                break
            del self._open[first]
            oldest.close()


class OpenFile:
    """One file of a log, open or not; times are those of the monotonic clock, in seconds."""

    __slots__ = ("_fd", "_losses", "_outlet", "_path", "checked", "used", "uses")

    def __init__(self, path: str, losses: Losses) -> None:
        self._path = path
        self._losses = losses
        self._fd = -1
        self._outlet: Outlet | None = None
        self.uses = 0
        self.used = self.checked = time.monotonic()

    def open(self) -> None:
        """Open it unless it is; raises OSError."""
        if self._fd < 0:
            self._fd = open_log(self._path)
            self._outlet = Outlet(self._fd, name=self._path, losses=self._losses)
            self.checked = time.monotonic()

    def put(self, line: str) -> None:
        """Append a line; the file is open."""
        assert self._outlet is not None
        self.uses += 1
        self._outlet.put((line + "\n").encode("utf-8", "surrogateescape"))
        if self._outlet.waiting:
            self._outlet.waiting = b""
            self._losses.lose(1, f'nobody reads "{self._path}"')

    def check(self) -> None:
        """Close it if its name is another file's by now, or nobody's."""
        self.checked = time.monotonic()
        if self._fd < 0:
            return
        try:
            same = os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except OSError:
            same = False
        if not same:
            self.close()

    def close(self) -> None:
        """Close it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._outlet = None


def _check(path: str, folder: str) -> None:
    """Raise OSError for a path that a client bent."""
    below = path.removeprefix(folder)
    if not path.startswith(folder) or ".." in below.split("/") or not below.isprintable():
        raise OSError(EINVAL, "what the client sent leads elsewhere")
