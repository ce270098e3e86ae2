"""`split_clients TEXT $variable {}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.build_variables import define, template, variable_name
from tidegate.config.diagnostics import ConfigError
from tidegate.config.entries import read_entries
from tidegate.variables.split_clients import REST, SplitClients, limits, percent

if TYPE_CHECKING:
    from tidegate.config.draft import Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope

    Part = tuple[int, Token, Token]  # share, its word, value


def split_clients(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read a `split_clients` block."""
    source, word = directive.args
    key = template(reading, source, directive)
    name = variable_name(word)
    parts: list[Part] = []
    sound = read_entries(reading, directive, lambda entry: parts.append(_part(reading, entry)))
    ends = _ends(reading, directive, parts) if sound else []
    values = (value.text for _share, _word, value in parts)
    pairs = tuple(zip(ends, values, strict=False))
    define(reading, name, word, SplitClients(key=key, parts=pairs))


def _part(reading: Reading, entry: Directive) -> Part:
    word = entry.name
    share = percent(word.text)
    if share is None:
        hint = 'a share is as 20% or 0.5%, with two decimals at most; "*" is the rest'
        raise ConfigError(f'invalid percent value "{word.text}"', word.span, hint=hint)
    if len(entry.args) != 1:
        # nginx counts nothing here: it takes what follows in memory, or drops what is too much.
        hint = "a share and one value are expected; quote a value that holds spaces"
        raise ConfigError("invalid number of the split_clients parameters", word.span, hint=hint)
    (value,) = entry.args
    if "$" in value.text:
        hint = 'nginx takes this value as it is written; a "map" can make it a variable'
        message = f'no variable in value "{value.text}" of "split_clients"'
        reading.report.warn(message, value.span, line=entry.end.line, hint=hint)
    return share, word, value


def _ends(reading: Reading, directive: Directive, parts: list[Part]) -> list[int]:
    """The limits of the parts; complains where they are more than all."""
    ends: list[int] = []
    try:
        for end in limits([share for share, _word, _value in parts]):
            ends.append(end)  # noqa: PERF402 - how far it came tells which part is too much
    except ValueError as error:
        _share, word, _value = parts[len(ends)]
        above = any(share == REST for share, _word, _value in parts[: len(ends)])
        hint = '"*" has all that is left, so it comes last' if above else None
        close = directive.block.close if directive.block else None
        line = close.line if close and close.file == word.span.file else None
        reading.report.error(str(error), word.span, line=line, hint=hint)
    return ends
