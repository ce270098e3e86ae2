"""`limit_conn_zone`, `limit_conn` and how they are told of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config import values
from tidegate.config.build_variables import template
from tidegate.config.diagnostics import ConfigError, did_you_mean
from tidegate.config.draft import block_here, in_protocol
from tidegate.config.model import Level, LimitConn, LimitConns, LimitConnZone
from tidegate.config.zones import declare, read_size

if TYPE_CHECKING:
    from tidegate.config.draft import BlockDraft, DraftHandler, Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope

USE = "limit_conn"

# nginx counts in 16 bits.
MOST = 65535

LEVELS = {
    level.name.lower(): level for level in (Level.INFO, Level.NOTICE, Level.WARN, Level.ERROR)
}

# A hundred million addresses; beyond it counts of bytes would not fit where they are kept.
LARGEST_ZONE = 8 << 30

EXAMPLE = "limit_conn_zone $binary_remote_addr zone=addr:10m;"


def limit_conn_zone(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `limit_conn_zone KEY zone=NAME:SIZE`."""
    protocol = in_protocol(reading)
    word, where = directive.args
    key = template(reading, word, directive)
    name, size = _name_and_size(where)
    known = protocol.limit_zones.get(name)
    declare(reading, name, size, use=USE, span=where.span)
    if known is not None:
        message = f'limit_conn_zone "{name}" is already bound to key "{known.key}"'
        hint = f"it is in {known.span.file}:{known.span.line}"
        raise ConfigError(message, where.span, hint=hint)
    protocol.limit_zones[name] = LimitConnZone(
        name=name, size=size, key=key, span=directive.name.span
    )


def _name_and_size(word: Token) -> tuple[str, int]:
    parameter, equals, text = word.text.partition("=")
    if not equals or parameter != "zone":
        raise ConfigError(f'invalid parameter "{word.text}"', word.span, hint=f"as in: {EXAMPLE}")
    name, colon, size = text.partition(":")
    if not colon:
        hint = f"a size is missing, as in: {EXAMPLE}"
        raise ConfigError(f'invalid zone size "{word.text}"', word.span, hint=hint)
    found = read_size(size, word, named=word.text)
    if not name:
        raise ConfigError('"limit_conn_zone" must have "zone" parameter', word.span)
    if found > LARGEST_ZONE:
        hint = f"the largest is {LARGEST_ZONE >> 20}m"
        raise ConfigError(f'zone "{word.text}" is too large', word.span, hint=hint)
    return name, found


def limit_conn(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `limit_conn ZONE NUMBER`."""
    zone, number = directive.args
    declare(reading, zone.text, 0, use=USE, span=zone.span)
    limits = block_here(reading).rules.limits
    if any(one.zone == zone.text for one, _where in limits):
        raise ConfigError('"limit_conn" directive is duplicate', zone.span)
    most = values.number(number.text)
    if not most:
        hint = f"a number from 1 to {MOST} is expected"
        raise ConfigError(f'invalid number of connections "{number.text}"', number.span, hint=hint)
    if most > MOST:
        raise ConfigError(f"connection limit must be less {MOST + 1}", number.span)
    limits.append((LimitConn(zone=zone.text, most=most), directive))


def limit_conn_log_level(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `limit_conn_log_level info | notice | warn | error`."""
    scope.claim(directive.name.text)
    word = directive.args[0]
    if word.text not in LEVELS:
        hint = did_you_mean(word.text, list(LEVELS)) or "the levels are " + ", ".join(LEVELS)
        raise ConfigError(f'invalid value "{word.text}"', word.span, hint=hint)
    scope.put(directive.name.text, word.text)


def finish_limit_conn(reading: Reading) -> None:
    """Complain of limits whose zone is nowhere made, when all of the block was read."""
    protocol = in_protocol(reading)
    for block in (protocol, *protocol.served()):
        for limit, where in block.rules.limits:
            if limit.zone in protocol.limit_zones:
                continue
            hint = did_you_mean(limit.zone, list(protocol.limit_zones)) or f"add: {EXAMPLE}"
            message = f'zero size shared memory zone "{limit.zone}"'
            reading.report.error(message, where.args[0].span, line=where.end.line, hint=hint)


def make_limit_conns(draft: BlockDraft) -> LimitConns | None:
    """The limits that hold in a block; None where there are none."""
    limits = draft.limits()
    if not limits:
        return None
    return LimitConns(
        limits=tuple(limit for limit, _where in limits),
        log_level=LEVELS[draft.scope.optional_text("limit_conn_log_level") or "error"],
        dry_run=draft.scope.flag("limit_conn_dry_run"),
    )


HANDLERS: dict[tuple[str, str], DraftHandler] = {
    ("stream", "limit_conn_zone"): limit_conn_zone,
    **{
        (context, name): handler
        for context in ("stream", "stream.server")
        for name, handler in (
            ("limit_conn", limit_conn),
            ("limit_conn_log_level", limit_conn_log_level),
        )
    },
}
