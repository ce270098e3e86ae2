"""The files that a configuration is read from: opened once each, bounded, found by `include`."""

from __future__ import annotations

import glob
import os
import stat
from itertools import islice
from typing import TYPE_CHECKING

from tidegate.dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator


# All files together, each counted as often as it is included. The largest real configurations
# known (tens of thousands of servers, generated) are below 2 MB.
MAX_BYTES = 8 << 20

# Files that includes may read in all, and the names that one mask may give.
MAX_FILES = 2000

# Includes inside includes. Real ones go four deep; nginx ends when it is out of descriptors.
MAX_INCLUDE_DEPTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that was read; bytes that are no UTF-8 stand as lone surrogates (surrogateescape)."""

    path: str
    text: str


class FileError(Exception):
    """A file that cannot be read, in nginx's words."""


class Files:
    """Reads configuration files and remembers them in order of first use."""

    def __init__(self, *, folder: str) -> None:
        """Names that are relative are looked up in `folder`."""
        self._folder = folder
        self._read: dict[str, Source] = {}
        self._bytes = 0
        self._count = 0

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every file read so far, once each."""
        return tuple(self._read.values())

    def find(self, name: str) -> Iterator[str]:
        """The paths that `include NAME` means: one, or those that a mask matches, sorted."""
        path = os.path.join(self._folder, name)
        if not any(mark in name for mark in "*?["):
            yield path
            return
        found = list(islice(glob.iglob(path), MAX_FILES + 1))
        yield from sorted(found, key=os.fsencode)

    def read(self, path: str) -> Source:
        """The file at `path`; raises FileError."""
        self._count += 1
        if self._count > MAX_FILES:
            raise FileError(f"more than {MAX_FILES} files are included")
        known = self._read.get(path)
        if known is None:
            known = self._read[path] = Source(path=path, text=self._text(path))
        self._bytes += len(known.text)
        if self._bytes > MAX_BYTES:
            raise FileError(self._too_large(path))
        return known

    def _text(self, path: str) -> str:
        call = "open"
        try:
            # O_NONBLOCK: a FIFO of this name must not stop us.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            call = "pread"
            try:
                content = _content(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            reason = f"({error.errno}: {os.strerror(error.errno or 0)})"
            raise FileError(f'{call}() "{path}" failed {reason}') from error
        if len(content) > MAX_BYTES:
            raise FileError(self._too_large(path))
        return content.decode("utf-8", "surrogateescape")

    @staticmethod
    def _too_large(path: str) -> str:
        return f'the configuration is larger than {MAX_BYTES >> 20} MiB with "{path}"'


def _content(descriptor: int) -> bytes:
    """At most one byte more than may be; nothing from a device or pipe, whose size is 0."""
    if stat.S_ISCHR(mode := os.fstat(descriptor).st_mode) or stat.S_ISFIFO(mode):
        return b""
    pieces = []
    left = MAX_BYTES + 1
    while left > 0 and (piece := os.read(descriptor, min(left, 1 << 20))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
