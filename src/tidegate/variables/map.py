"""`map`: one value for each of some texts, for names with a wildcard, for regular expressions."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Generic, NamedTuple

from tidegate.dataclasses import dataclass
from tidegate.variables.hostnames import Wildcards
from tidegate.variables.template import Template, compile_template
from tidegate.variables.values import S, decode, encode
from tidegate.wire.quoted import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tidegate.variables.regex import Regex


class Expression(NamedTuple):
    """A regular expression of a `map`, and the value for what it matches."""

    pattern: bytes
    caseless: bool
    value: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """One `map`; its texts and wildcards are in small letters, as capitals are not told apart.

    `wildcards` are by kind and by what is no wildcard. A `volatile` map is looked into each time.
    """

    key: Template
    default: Template
    texts: Mapping[bytes, Template]
    wildcards: Mapping[tuple[str, bytes], Template]
    expressions: tuple[Expression, ...]
    hostnames: bool
    volatile: bool

    @property
    def values(self) -> Iterable[Template]:
        """All values that a session may get; those that lines share are there once."""
        values = chain(
            (self.default,),
            self.texts.values(),
            self.wildcards.values(),
            (one.value for one in self.expressions),
        )
        return {id(value): value for value in values}.values()


class Finder(Generic[S]):
    """A map as a worker's sessions look into it: a call gives the value for a session.

    Values with variables are functions of a session, others are their text.
    """

    __slots__ = ("_default", "_expressions", "_hostnames", "_key", "_texts", "_wildcards")

    def __init__(self, one: Map, getters: Mapping[str, Callable[[S], str | None]]) -> None:
        """Raises RegexError, which reading the configuration would have found."""

        def ready(value: Template) -> str | Callable[[S], str]:
            constant = value.constant
            return compile_template(value, getters) if constant is None else constant

        self._key = compile_template(one.key, getters)
        self._hostnames = one.hostnames
        self._default = ready(one.default)
        self._texts = {text: ready(value) for text, value in one.texts.items()}
        wildcards = {name: ready(value) for name, value in one.wildcards.items()}
        self._wildcards = Wildcards(wildcards) if wildcards else None
        self._expressions = tuple(
            (compiled(each.pattern, caseless=each.caseless), ready(each.value))
            for each in one.expressions
        )

    def __call__(self, session: S) -> str:
        """The value of the first that fits: text, wildcard, expression, default."""
        value = self._find(session, encode(self._key(session)))
        return value if isinstance(value, str) else value(session)

    def _find(self, session: S, key: bytes) -> str | Callable[[S], str]:
        if self._hostnames and key.endswith(b"."):
            key = key[:-1]
        small = key.lower()
        found = self._texts.get(small)
        if found is None and self._wildcards is not None:
            found = self._wildcards.find(small)
        if found is not None:
            return found
        # nginx matches no expression with nothing.
        return self._match(session, key) if self._expressions and key else self._default

    def _match(self, session: S, key: bytes) -> str | Callable[[S], str]:
        for regex, value in self._expressions:
            try:
                groups = regex.match(key)
            except ValueError as error:
                words = f'{error} on {quoted(decode(key))} using "{decode(regex.pattern)}"'
                session.tell("alert", words)
                return self._default
            if groups is not None:
                values = session.compute()
                values.captures = groups
                for name, number in regex.names:
                    values.known[name.lower()] = decode(groups[number] or b"")
                return value
        return self._default


def compiled(pattern: bytes, *, caseless: bool) -> Regex:
    """A regular expression, ready to use; raises RegexError."""
    # A worker whose maps have no expressions needs neither the module nor the library.
    from tidegate.variables.regex import Regex  # noqa: PLC0415

    return Regex(pattern, caseless=caseless)
