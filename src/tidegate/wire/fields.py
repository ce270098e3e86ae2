"""The fields of an HTTP head: names and values as they came, and found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, overload

if TYPE_CHECKING:
    from collections.abc import Iterator

Field = tuple[bytes, bytes]

SPACE: Final = 0x20
DELETE: Final = 0x7F
ONE_LINE: Final = bytes(SPACE if one in b"\r\n\0" else one for one in range(256))


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


def one_line(value: bytes) -> bytes:
    """A value that ends no line before its end: RFC 9110, section 5.5, puts spaces there.

    Texts of a configuration may hold what a client has escaped (`$uri`), or a certificate.
    """
    return value.translate(ONE_LINE)


def escape_controls(target: bytes) -> bytes:
    """A target without what would end it, or its line: that is written as %XX."""
    if not any(one <= SPACE or one == DELETE for one in target):
        return target
    return b"".join(
        b"%%%02X" % one if one <= SPACE or one == DELETE else bytes([one]) for one in target
    )
