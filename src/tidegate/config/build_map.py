"""`map TEXT $variable {}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.build_variables import check_regex, define, template, variable_name
from tidegate.config.diagnostics import ConfigError
from tidegate.config.entries import as_line_of, read_entries
from tidegate.variables.hostnames import EXACT, HEAD, HEAD_OR_ITSELF, WildcardError, split_wildcard
from tidegate.variables.map import Expression, Map
from tidegate.variables.template import Template
from tidegate.variables.values import encode

if TYPE_CHECKING:
    from tidegate.config.draft import Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope

SPECIAL = ("hostnames", "volatile")

WILDCARDS = "a wildcard is a whole first or last part of a name: *.a.b, .a.b, a.b.*"


def map_(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read a `map` block."""
    source, word = directive.args
    key = template(reading, source, directive)
    name = variable_name(word)
    draft = MapDraft(reading, directive)
    read_entries(reading, directive, draft.read)
    define(reading, name, word, draft.made(key))


class MapDraft:
    """A `map` while its lines are read."""

    def __init__(self, reading: Reading, directive: Directive) -> None:
        self._reading = reading
        self._directive = directive
        self._words: set[str] = set()
        self._default: Template | None = None
        self._texts: dict[bytes, Template] = {}
        self._wildcards: dict[tuple[str, bytes], Template] = {}
        self._expressions: list[Expression] = []
        self._values: dict[str, Template] = {}

    def made(self, key: Template) -> Map:
        """What came of it."""
        return Map(
            key=key,
            default=self._default or Template(("",)),
            texts=self._texts,
            wildcards=self._wildcards,
            expressions=tuple(self._expressions),
            hostnames="hostnames" in self._words,
            volatile="volatile" in self._words,
        )

    def read(self, entry: Directive) -> None:
        """Read one line; raises ConfigError."""
        word = entry.name
        if not entry.args and word.text in SPECIAL:
            self._words.add(word.text)
            return
        if len(entry.args) != 1:
            hint = "a text and its value are expected; quote what holds spaces"
            raise ConfigError("invalid number of the map parameters", word.span, hint=hint)
        value = self._value(entry)
        if word.text == "default":
            if self._default is not None:
                raise ConfigError("duplicate default map parameter", word.span)
            self._default = value
        elif word.text.startswith("~"):
            self._expression(word, value)
        else:
            self._text(word, value)

    def _value(self, entry: Directive) -> Template:
        """The value of a line; equal ones are one object, as a large map has few."""
        (word,) = entry.args
        known = self._values.get(word.text)
        if known is None:
            known = template(self._reading, word, as_line_of(self._directive, entry))
            self._values[word.text] = known
        return known

    def _expression(self, word: Token, value: Template) -> None:
        text = word.text[1:]
        caseless = text.startswith("*")
        pattern = encode(text[caseless:])
        check_regex(self._reading, word, text[caseless:], caseless=caseless)
        self._expressions.append(Expression(pattern, caseless, value))

    def _text(self, word: Token, value: Template) -> None:
        text = word.text.removeprefix("\\")
        name, kind = encode(text), EXACT
        if "hostnames" in self._words:
            try:
                kind, name = split_wildcard(name)
            except WildcardError:
                message = f'invalid hostname or wildcard "{text}"'
                raise ConfigError(message, word.span, hint=WILDCARDS) from None
        name = name.lower()
        if self._taken(kind, name):
            small = text.translate(CAPITALS)
            message = f'conflicting parameter "{small}"'
            hint = "it stands above, too; capital and small letters are the same here"
            raise ConfigError(message, word.span, hint=hint)
        if kind == EXACT:
            self._texts[name] = value
        else:
            self._wildcards[kind, name] = value

    def _taken(self, kind: str, name: bytes) -> bool:
        """Whether a text or wildcard is there that means the same."""
        itself = (HEAD_OR_ITSELF, name) in self._wildcards
        if kind == EXACT:
            return name in self._texts or itself
        if kind == HEAD_OR_ITSELF and (name in self._texts or (HEAD, name) in self._wildcards):
            return True
        return (kind, name) in self._wildcards or (kind == HEAD and itself)


CAPITALS = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
