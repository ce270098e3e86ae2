"""Which location of a server serves a path, in nginx's order.

`=` at once where it is equal; else the longest prefix, and with `^~` that is all; else the first
regular expression that matches, those inside the prefix first; else the prefix. A location's
nested ones are looked at in the same way once it is the longest, or the expression that matched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from tidegate.variables.regex import Regex

if TYPE_CHECKING:
    from collections.abc import Iterable

L = TypeVar("L")

EXACT = "="
FINAL = "^~"
REGEX = "~"
REGEX_CASELESS = "~*"
NAMED = "@"


@dataclass(frozen=True, slots=True)
class Place(Generic[L]):
    """One location to choose: what it matches, what it is, and the tree inside.

    With `redirects` a path that lacks only its last slash is sent to it.
    """

    match: str
    text: bytes
    location: L
    inside: Tree[L]
    redirects: bool = False


@dataclass(frozen=True, slots=True)
class Found(Generic[L]):
    """What serves a path; `sure` where nothing outside is asked any more.

    `matched` is the expression that chose it, with its groups. `redirect` tells that the path is to
    be asked for again with a slash at its end.
    """

    location: L
    sure: bool = True
    matched: tuple[Regex, tuple[bytes | None, ...]] | None = None
    redirect: bool = False


class Tree(Generic[L]):
    """The locations of a server, or those nested in one."""

    __slots__ = ("_direct", "_exact", "_named", "_prefixes", "_regexes", "_without_slash")

    def __init__(self, places: Iterable[Place[L]]) -> None:
        """`places` are in the order of the configuration."""
        self._exact: dict[bytes, L] = {}
        self._named: dict[bytes, L] = {}
        self._regexes: list[tuple[Regex, Place[L]]] = []
        prefixes: list[Place[L]] = []
        for place in places:
            if place.match == EXACT:
                self._exact[place.text] = place.location
            elif place.match == NAMED:
                self._named[place.text] = place.location
            elif place.match in (REGEX, REGEX_CASELESS):
                regex = Regex(place.text, caseless=place.match == REGEX_CASELESS)
                self._regexes.append((regex, place))
            else:
                prefixes.append(place)
        self._prefixes = sorted(prefixes, key=lambda one: -len(one.text))
        self._without_slash = {
            one.text[:-1]: one.location
            for one in prefixes
            if one.redirects and one.text.endswith(b"/")
        }
        # Where nothing but prefixes is to be looked at, what they lead to.
        self._direct: tuple[tuple[bytes, L], ...] = ()
        if (
            not self._regexes
            and not self._without_slash
            and not any(one.inside for one in prefixes)
        ):
            self._direct = tuple((one.text, one.location) for one in self._prefixes)

    def __bool__(self) -> bool:
        """Whether there is any location to find by a path."""
        return bool(self._exact or self._prefixes or self._regexes)

    def direct(self, path: bytes) -> L | None:
        """The location of a path, where it takes no more than to compare; else None."""
        if path in self._exact:
            return self._exact[path]
        for text, location in self._direct:
            if path.startswith(text):
                return location
        return None

    def find(self, path: bytes) -> Found[L] | None:
        """What serves a path; raises RegexError where an expression takes too many steps."""
        if path in self._exact:
            return Found(self._exact[path])
        found, prefix = self._by_prefix(path)
        if found is not None and (found.sure or (prefix is not None and prefix.match == FINAL)):
            return found
        for regex, place in self._regexes:
            groups = regex.match(path)
            if groups is not None:
                return place.inside.find(path) or Found(place.location, matched=(regex, groups))
        return found

    def _by_prefix(self, path: bytes) -> tuple[Found[L] | None, Place[L] | None]:
        """What the longest prefix leads to, and that itself."""
        prefix = next((one for one in self._prefixes if path.startswith(one.text)), None)
        if path in self._without_slash and (prefix is None or prefix.text != path):
            return Found(self._without_slash[path], redirect=True), None
        if prefix is None:
            return None, None
        inside = prefix.inside.find(path)
        if inside is not None and inside.sure:
            return inside, prefix
        return Found(prefix.location if inside is None else inside.location, sure=False), prefix

    def named(self, name: bytes) -> L | None:
        """The location `@NAME`, its mark included."""
        return self._named.get(name)
