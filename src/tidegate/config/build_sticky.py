"""`sticky learn`: a table of which client belongs to which node of an upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config import values
from tidegate.config.build_variables import template
from tidegate.config.diagnostics import ConfigError, did_you_mean
from tidegate.config.draft import in_protocol, refused
from tidegate.config.model import Sticky
from tidegate.config.zones import declare, read_size
from tidegate.dataclasses import dataclass, field
from tidegate.variables.names import CONNACK
from tidegate.variables.template import names

if TYPE_CHECKING:
    from tidegate.config.draft import DraftHandler, Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope
    from tidegate.variables.template import Template

EXAMPLE = (
    "sticky learn lookup=$mqtt_preread_clientid create=$mqtt_preread_clientid zone=clients:1m;"
)

TIMEOUT = 3600

# Sixteen million clients; to write them into a file takes about 770 MB.
LARGEST_ZONE = 1 << 30

# Ages have 32 bits.
LONGEST_TIMEOUT = 2**31 - 1

PARAMETERS = ("lookup", "create", "zone", "timeout", "state")

# Parameters of Angie that mean something which is not here; each with what may be done.
WITHOUT = {
    "sync": "the table is common to all workers; instances do not exchange theirs",
    "connect": "a node is learned when it has taken the client; leave it out",
    "remote_action": "there is the table in shared memory only",
    "remote_result": "there is the table in shared memory only",
}
MODES = ("cookie", "route")


@dataclass(slots=True, kw_only=True)
class _Words:
    """What the parameters of one `sticky learn` said so far."""

    lookup: list[Template] = field(default_factory=list)
    create: list[Template] = field(default_factory=list)
    zone: str = ""
    size: int = 0
    timeout: int = TIMEOUT
    state: str = ""
    refresh: bool = True


def sticky(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `sticky learn lookup=$NAME create=$NAME zone=NAME:SIZE [timeout=] [state=]`."""
    group = reading.draft.upstream
    assert group is not None
    if group.sticky is not None:
        raise ConfigError('"sticky" directive is duplicate')
    mode, *parameters = directive.args
    if mode.text in MODES:
        error = refused(f'"{mode.text}" of "sticky"', reason=f"as in: {EXAMPLE}")
        error.span = mode.span
        raise error
    if mode.text != "learn":
        hint = f"as in: {EXAMPLE}"
        raise ConfigError(f'unknown sticky mode "{mode.text}"', mode.span, hint=hint)
    words = _Words()
    for word in parameters:
        _read(reading, word, directive, words)
    for name in ("lookup", "create", "zone"):
        if not getattr(words, name):
            message = f'"sticky" must have "{name}" parameter'
            raise ConfigError(message, hint=f"as in: {EXAMPLE}")
    path = reading.draft.path(words.state or f"{words.zone}.sticky")
    _once(reading, "file", path, directive)
    group.sticky = Sticky(
        lookup=tuple(words.lookup),
        create=tuple(words.create),
        zone=words.zone,
        size=words.size,
        timeout=words.timeout,
        state=path,
        refresh=words.refresh,
    )


def _read(reading: Reading, word: Token, directive: Directive, words: _Words) -> None:
    name, equals, text = word.text.partition("=")
    if name in WITHOUT:
        error = refused(f'parameter "{name}" of "sticky"', reason=WITHOUT[name])
        error.span = word.span
        raise error
    if word.text == "norefresh":
        words.refresh = False
        return
    if not equals or not text or name not in PARAMETERS:
        hint = did_you_mean(name, [*PARAMETERS]) or f"as in: {EXAMPLE}"
        raise ConfigError(f'invalid parameter "{word.text}"', word.span, hint=hint)
    if name in ("lookup", "create"):
        getattr(words, name).append(_key(reading, word, text, directive))
    elif name == "zone":
        words.zone, words.size = _zone(reading, word, text, directive)
    elif name == "timeout":
        words.timeout = _timeout(word, text)
    else:
        words.state = text


def _key(reading: Reading, word: Token, text: str, directive: Directive) -> Template:
    """The text that clients are known by; it has a variable, or all would be one."""
    name = word.text.partition("=")[0]
    found = template(reading, word._replace(text=text), directive)
    if found.constant is not None:
        hint = f"it is to tell clients from each other, as in: {EXAMPLE}"
        raise ConfigError(f'invalid variable name "{text}"', word.span, hint=hint)
    late = names(found) & CONNACK.keys()
    if name == "lookup" and late:
        message = f'the "{min(late)}" variable is always empty in "lookup" of "sticky"'
        hint = "it comes with a node's answer, and this is needed before a node is chosen"
        reading.report.warn(message, word.span, line=directive.end.line, hint=hint)
    return found


def _zone(reading: Reading, word: Token, text: str, directive: Directive) -> tuple[str, int]:
    name, colon, size = text.partition(":")
    if not colon:
        hint = f"a size is missing, as in: {EXAMPLE}"
        raise ConfigError(f'invalid zone size "{word.text}"', word.span, hint=hint)
    found = read_size(size, word, named=word.text)
    if not name or "/" in name:
        raise ConfigError(f'invalid zone name "{name}"', word.span)
    if found > LARGEST_ZONE:
        hint = f"the largest is {LARGEST_ZONE >> 20}m"
        raise ConfigError(f'zone "{word.text}" is too large', word.span, hint=hint)
    declare(reading, name, found, use="sticky", span=word.span)
    _once(reading, "zone", name, directive, word)
    return name, found


def _once(
    reading: Reading, what: str, name: str, directive: Directive, word: Token | None = None
) -> None:
    """See that no other upstream has this zone, or file, for its table; raises ConfigError."""
    known = in_protocol(reading).learned.setdefault((what, name), directive.name.span)
    if known is not directive.name.span:
        hint = f"it is that of {known.file}:{known.line}; nodes of another upstream need their own"
        span = directive.name.span if word is None else word.span
        raise ConfigError(f'duplicate {what} "{name}"', span, hint=hint)


def _timeout(word: Token, text: str) -> int:
    value = values.seconds(text)
    if not value:
        hint = "it is a time in whole seconds, as in 10m or 1h"
        raise ConfigError(f'invalid parameter "{word.text}"', word.span, hint=hint)
    return min(value, LONGEST_TIMEOUT)


HANDLERS: dict[tuple[str, str], DraftHandler] = {("stream.upstream", "sticky"): sticky}
