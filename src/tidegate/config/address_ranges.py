"""The ranges of a `geo`, with nginx's rules for those that meet each other.

nginx keeps them by blocks of 65,536 addresses, and each block has rules of its own: a range that
covers another one is an error inside a block, and none where it ends at the edge of one. So this
does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BITS = 16
LAST_OF_BLOCK = (1 << BLOCK_BITS) - 1

Piece = tuple[int, int, str]  # first and last address inside a block, and the value


class OverlapError(ValueError):
    """A range that meets another one and is neither inside of it nor the same."""


class AddressRanges:
    """Ranges of IPv4 addresses; going through them gives first, last and value, rising."""

    def __init__(self) -> None:
        self._blocks: dict[int, list[Piece]] = {}

    def __iter__(self) -> Iterator[Piece]:
        for block in sorted(self._blocks):
            base = block << BLOCK_BITS
            for first, last, value in self._blocks[block]:
                yield base + first, base + last, value

    def add(self, first: int, last: int, value: str) -> Iterator[str]:
        """Give addresses a value; gives the old value where a block has the same piece already.

        Raises OverlapError.
        """
        for block, start, end in _pieces(first, last):
            pieces = self._blocks.setdefault(block, [])
            place = _place(pieces, end)
            if place < 0 or start > pieces[place][1]:
                pieces.insert(place + 1, (start, end, value))
                continue
            there = pieces[place]
            if (start, end) == there[:2]:
                yield there[2]
                pieces[place] = (start, end, value)
                continue
            if start < there[0] or end > there[1]:
                raise OverlapError(f"{_text(block, there[0])}-{_text(block, there[1])}")
            parts = ((there[0], start - 1, there[2]), (start, end, value), (end + 1, *there[1:]))
            pieces[place : place + 1] = [part for part in parts if part[0] <= part[1]]

    def delete(self, first: int, last: int) -> bool:
        """Take addresses out, where exactly these were given; False where a part was not."""
        sound = True
        for block, start, end in _pieces(first, last):
            pieces = self._blocks.get(block, [])
            place = _place(pieces, end)
            if place >= 0 and (start, end) == pieces[place][:2]:
                del pieces[place]
            else:
                sound = False
        return sound


def _pieces(first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """What a range is in each block: its number, and first and last address in it."""
    for block in range(first >> BLOCK_BITS, (last >> BLOCK_BITS) + 1):
        base = block << BLOCK_BITS
        yield block, max(first - base, 0), min(last - base, LAST_OF_BLOCK)


def _place(pieces: list[Piece], end: int) -> int:
    """The last piece that begins at `end` or before; -1 where there is none."""
    low, high = 0, len(pieces)
    while low < high:
        middle = (low + high) // 2
        if pieces[middle][0] <= end:
            low = middle + 1
        else:
            high = middle
    return low - 1


def _text(block: int, low: int) -> str:
    return f"{block >> 8}.{block & 0xFF}.{low >> 8}.{low & 0xFF}"
