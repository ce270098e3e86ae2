"""The chunked coding of a message body (RFC 9112, section 7.1), piece by piece."""

from __future__ import annotations

from typing import Final

# A chunk's line: its size, and extensions that nobody uses.
LONGEST_LINE: Final = 256
LONGEST_SIZE: Final = 15  # hexadecimal digits
# Fields behind the last chunk; they are read and dropped.
LONGEST_TRAILER: Final = 4096

_HEX: Final = frozenset(b"0123456789abcdefABCDEF")


class ChunkError(ValueError):
    """A body that is not coded as it says."""


class ChunkedBody:
    """Takes a coded body apart; `data` grows, and `done` tells that its end has come."""

    __slots__ = ("_left", "_tail", "_trailer", "data", "done")

    def __init__(self) -> None:
        self.data = bytearray()
        self.done = False
        self._left = 0  # of the chunk, and where that is 0 with `_tail` its CR LF
        self._tail = False
        self._trailer = -1  # bytes of the trailer; -1 before it

    def take(self, coded: bytes) -> int:
        """Take what is whole of `coded`, and say how many bytes that were; raises ChunkError."""
        at = 0
        while not self.done and at < len(coded):
            step = self._step(coded, at)
            if step == at:
                break
            at = step
        return at

    def _step(self, coded: bytes, at: int) -> int:
        if self._left:
            part = coded[at : at + self._left]
            self.data += part
            self._left -= len(part)
            return at + len(part)
        if self._tail:
            return self._end_of_chunk(coded, at)
        end = coded.find(b"\r\n", at)
        bound = LONGEST_LINE if self._trailer < 0 else LONGEST_TRAILER - self._trailer
        if (end if end >= 0 else len(coded)) - at > bound:
            raise ChunkError("a line is too long")
        if end < 0:
            return at
        line = coded[at:end]
        if b"\n" in line or b"\r" in line:
            raise ChunkError("a line does not end with CR LF")
        if self._trailer >= 0:
            self._trailer += end + 2 - at
            self.done = not line
        else:
            self._begin_chunk(line)
        return end + 2

    def _end_of_chunk(self, coded: bytes, at: int) -> int:
        end = coded[at : at + 2]
        if not b"\r\n".startswith(end):
            raise ChunkError("a chunk does not end where it should")
        if len(end) < len(b"\r\n"):
            return at
        self._tail = False
        return at + 2

    def _begin_chunk(self, line: bytes) -> None:
        size = line.partition(b";")[0].rstrip(b" \t")
        if not size or len(size) > LONGEST_SIZE or not _HEX.issuperset(size):
            raise ChunkError("a chunk has no size")
        self._left = int(size, 16)
        self._tail = self._left > 0
        if not self._left:
            self._trailer = 0
