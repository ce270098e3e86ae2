"""The settings of one block while it is read, and what a block inherits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config import grammar, values
from tidegate.config.diagnostics import ConfigError
from tidegate.config.row import Kind, Row

if TYPE_CHECKING:
    from typing import TypeAlias

    from tidegate.config.lexer import Token
    from tidegate.config.model import Bind, MqttNextUpstream
    from tidegate.config.model_names import Resolver
    from tidegate.config.model_tls import PairCache, SessionCache
    from tidegate.config.parser import Directive
    from tidegate.config.span import Span

    Single: TypeAlias = (
        bool
        | int
        | float
        | str
        | bytes
        | Bind
        | MqttNextUpstream
        | SessionCache
        | PairCache
        | Resolver
    )
    Value: TypeAlias = Single | tuple[str | bytes | tuple[str, str], ...]


class Scope:
    """Values by directive; what is not here is looked up in the block around."""

    def __init__(self, context: str, around: Scope | None = None) -> None:
        self.context = context
        self._around = around
        self._claimed: set[str] = set()
        self._values: dict[str, Value] = {}
        self._places: dict[str, Span] = {}

    def claim(self, name: str, span: Span | None = None) -> None:
        """Note that a directive is here, at `span`; raises ConfigError if it was before."""
        if name in self._claimed:
            first = self._places.get(name)
            hint = f"it is also in {first.file}:{first.line}: remove one of them" if first else None
            raise ConfigError(f'"{name}" directive is duplicate', hint=hint)
        self._claimed.add(name)
        if span is not None:
            self.note(name, span)

    def note(self, name: str, span: Span) -> None:
        """Remember where a directive stands; the last place counts."""
        self._places[name] = span

    def place(self, name: str) -> Span | None:
        """Where the directive stands whose value `get` gives; None where none was written."""
        if name in self._values:
            return self._places.get(name)
        return self._around.place(name) if self._around is not None else None

    def add(self, name: str, value: str | tuple[str, str], span: Span) -> None:
        """Keep one more value of a directive that may stand several times in a block."""
        values = self._values.get(name)
        self._values[name] = (*values, value) if isinstance(values, tuple) else (value,)
        self.note(name, span)

    def put(self, name: str, value: Value) -> None:
        """Keep the value of a directive."""
        self._values[name] = value

    def get(self, name: str) -> Value | None:
        """The value here or in a block around; else the default of the table, else None."""
        if name in self._values:
            return self._values[name]
        if self._around is not None and grammar.find(name, self._around.context):
            return self._around.get(name)
        row = grammar.find(name, self.context)
        if row is None or row.default is None or row.kind is Kind.SPECIAL:
            return None
        return convert(row.kind, row.default)

    def flag(self, name: str) -> bool:
        """The value of an `on | off` directive."""
        return bool(self.get(name))

    def integer(self, name: str) -> int:
        """The value of a directive that is a number of something and has a default."""
        value = self.get(name)
        assert isinstance(value, int)
        return value

    def optional_integer(self, name: str) -> int | None:
        """The value of a directive that is a number of something; None where it is not given."""
        value = self.get(name)
        assert value is None or isinstance(value, int)
        return value

    def optional_text(self, name: str) -> str | None:
        """The value of a directive that is a text; None where it is not given."""
        value = self.get(name)
        assert value is None or isinstance(value, str)
        return value


def slot(row: Row, word: Token) -> Value:
    """The value of a directive that takes one argument of a kind; raises ConfigError."""
    value = convert(row.kind, word.text)
    if value is not None:
        return value
    if row.kind is Kind.FLAG:
        message = f'invalid value "{word.text}" in "{row.name}" directive, it must be "on" or "off"'
    elif row.kind is Kind.NUMBER:
        message = f'"{row.name}" directive invalid number'
    else:
        message = f'"{row.name}" directive invalid value'
    raise ConfigError(message, word.span, hint=EXPECTED.get(row.kind))


def put_positive(directive: Directive, scope: Scope, *, why: str) -> None:
    """Keep the value of a directive that may not be 0, which `why` explains; raises ConfigError."""
    name, word = directive.name.text, directive.args[0]
    row = grammar.find(name, scope.context)
    assert row is not None
    scope.claim(name)
    value = slot(row, word)
    if not value:
        raise ConfigError(f'"{name}" directive invalid value', word.span, hint=why)
    scope.put(name, value)


EXPECTED = {
    Kind.NUMBER: "a whole number is expected",
    Kind.SIZE: "a size is a number of bytes, or of k or m: 512, 16k, 3m",
    Kind.OFFSET: "a size is a number of bytes, or of k, m or g",
    Kind.RATE: "a rate is a number of bytes per second, or of k or m",
    Kind.TIME: "a time is numbers with ms, s, m, h, d or w: 500ms, 30s, 1h30m",
    Kind.SECONDS: "a time is numbers with s, m, h, d, w, M or y",
}


def convert(kind: Kind, text: str) -> Value | None:  # noqa: PLR0911 - one for each kind
    """`text` as a value of that kind; None if it is none."""
    match kind:
        case Kind.FLAG:
            return {"on": True, "off": False}.get(text.lower())
        case Kind.NUMBER:
            return values.number(text)
        case Kind.SIZE | Kind.RATE:
            return values.size(text)
        case Kind.OFFSET:
            return values.offset(text)
        case Kind.TIME:
            return values.milliseconds(text)
        case Kind.SECONDS:
            return values.seconds(text)
        case _:
            return text
