"""`location`: what it matches, and where it may stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.build_variables import check_regex
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft_http import LocationDraft, in_location
from tidegate.config.scope import Scope

if TYPE_CHECKING:
    from tidegate.config.draft import Reading
    from tidegate.config.draft_http import HttpServerDraft
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive

MODIFIERS = ("=", "^~", "~", "~*")
REGEX = ("~", "~*")


def location(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `location [= | ^~ | ~ | ~*] TEXT {}` or `location @NAME {}`."""
    around = in_location(reading)
    match, text = _matched(directive)
    word = directive.args[-1]
    if match in REGEX:
        check_regex(reading, word, text, caseless=match == "~*")
    if around.match is not None:
        _check_nested(around, match, text, word)
    draft = LocationDraft(
        directive=directive,
        scope=Scope("http.location", scope),
        around=around,
        match=match,
        text=text,
        server=around.server,
    )
    around.nested.append(draft)
    reading.draft.server = draft
    try:
        draft.sound = reading.block(directive, draft.scope)
    finally:
        reading.draft.server = around


def _matched(directive: Directive) -> tuple[str, str]:
    """The modifier and the text of a location; raises ConfigError."""
    first = directive.args[0]
    if len(directive.args) > 1:
        if first.text not in MODIFIERS:
            hint = f"there are: {' '.join(MODIFIERS)}"
            raise ConfigError(f'invalid location modifier "{first.text}"', first.span, hint=hint)
        return first.text, directive.args[1].text
    # nginx takes a modifier without a space behind it, too.
    for match in ("=", "^~", "~*", "~"):
        if first.text.startswith(match):
            return match, first.text.removeprefix(match)
    return ("@" if first.text.startswith("@") else ""), first.text


def _check_nested(around: LocationDraft, match: str, text: str, word: Token) -> None:
    """Whether a location may stand in another one; raises ConfigError."""
    for kind, name in (("=", "exact"), ("@", "named")):
        if around.match == kind:
            message = f'location "{text}" cannot be inside the {name} location "{around.text}"'
            raise ConfigError(message, word.span)
    if match == "@":
        message = f'named location "{text}" can be on the server level only'
        raise ConfigError(message, word.span)
    if match not in REGEX and not text.startswith(around.text):
        message = f'location "{text}" is outside location "{around.text}"'
        hint = f"it can never match there; a location inside begins with {around.text}"
        raise ConfigError(message, word.span, hint=hint)


def finish_locations(reading: Reading, server: HttpServerDraft) -> None:
    """Complain of locations that are there twice, in one block."""
    for draft in server.outside.tree():
        seen: dict[tuple[str, str], LocationDraft] = {}
        for one in draft.nested:
            if one.match in (*REGEX, "@"):
                continue  # the first one counts
            kind = "=" if one.match == "=" else ""
            first = seen.setdefault((kind, one.text), one)
            if first is not one:
                where = first.directive.name.span
                reading.report.error(
                    f'duplicate location "{one.text}"',
                    one.directive.args[-1].span,
                    line=one.directive.end.line,
                    hint=f"it is also in {where.file}:{where.line}",
                )
