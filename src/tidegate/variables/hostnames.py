"""Names with a wildcard, as a `map` with `hostnames` has them: `*.a.b`, `.a.b`, `a.b.*`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

V = TypeVar("V")

EXACT = ""
HEAD = "*."
HEAD_OR_ITSELF = "."
TAIL = ".*"


class WildcardError(ValueError):
    """A name that has its wildcard in a place where none may be."""


def split_wildcard(name: bytes) -> tuple[str, bytes]:
    """The kind of a name, and what of it is no wildcard; raises WildcardError."""
    if name.count(b"*") > 1 or b".." in name or b"\0" in name:
        raise WildcardError(name)
    if name.startswith(b".") and len(name) > 1:
        return HEAD_OR_ITSELF, name[1:]
    if name.startswith(b"*.") and len(name) > len(HEAD):
        return HEAD, name[2:]
    if name.endswith(b".*") and len(name) > len(TAIL):
        return TAIL, name[:-2]
    if b"*" in name:
        raise WildcardError(name)
    return EXACT, name


class Wildcards(Generic[V]):
    """Finds the value of the most specific wildcard that fits a name; all are in small letters."""

    __slots__ = ("_heads", "_itself", "_longest_head", "_longest_tail", "_tails")

    def __init__(self, names: Mapping[tuple[str, bytes], V]) -> None:
        """`names` are by kind and by what is no wildcard."""
        self._itself = {name: value for (kind, name), value in names.items() if kind == "."}
        self._heads = self._itself | {name: v for (kind, name), v in names.items() if kind == HEAD}
        self._tails = {name: value for (kind, name), value in names.items() if kind == TAIL}
        self._longest_head = max(map(len, self._heads), default=0)
        self._longest_tail = max(map(len, self._tails), default=0)

    def find(self, name: bytes) -> V | None:
        """The value for a name: wildcards at its head come first, then the longest.

        Only so much of the name is looked at as one that is known has: a client may send 64 KiB of
        dots, each of which would be a name to look for.
        """
        if name in self._itself:
            return self._itself[name]
        dot = name.find(b".", max(0, len(name) - self._longest_head - 1)) if self._heads else -1
        while dot >= 0:
            end = name[dot + 1 :]
            if end in self._heads:
                return self._heads[end]
            dot = name.find(b".", dot + 1)
        dot = name.rfind(b".", 0, self._longest_tail + 1) if self._tails else -1
        while dot >= 0:
            if name[:dot] in self._tails:
                return self._tails[name[:dot]]
            dot = name.rfind(b".", 0, dot)
        return None
