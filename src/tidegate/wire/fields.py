"""The fields of an HTTP head: names and values as they came, and found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from collections.abc import Iterator

Field = tuple[bytes, bytes]


class Fields:
    """Fields in order; names are looked up in lower case."""

    __slots__ = ("_all", "_index")

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self._all = fields
        self._index: dict[bytes, list[bytes]] = {}
        for name, value in fields:
            self._index.setdefault(name.lower(), []).append(value)

    def __iter__(self) -> Iterator[Field]:
        """Name and value of each."""
        return iter(self._all)

    def __contains__(self, name: bytes) -> bool:
        """Whether there is a field of this name."""
        return name in self._index

    @overload
    def get(self, name: bytes) -> bytes | None: ...
    @overload
    def get(self, name: bytes, default: bytes) -> bytes: ...
    def get(self, name: bytes, default: bytes | None = None) -> bytes | None:
        """The value of a field, those of several with a comma between."""
        values = self._index.get(name)
        return default if values is None else b", ".join(values)

    def all(self, name: bytes) -> list[bytes]:
        """The values of all fields of this name."""
        return self._index.get(name, [])


def words(value: bytes | None) -> frozenset[bytes]:
    """The words of a list with commas, in lower case."""
    if value is None:
        return frozenset()
    return frozenset(word.strip().lower() for word in value.split(b","))
