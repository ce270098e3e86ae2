"""Shared memory by name: one name space, in which each name is of one size and for one use."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from tidegate.config import values
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft import in_protocol

if TYPE_CHECKING:
    from tidegate.config.draft import Reading
    from tidegate.config.lexer import Token
    from tidegate.config.span import Span

SMALLEST_ZONE = 8 * mmap.PAGESIZE


def read_size(text: str, word: Token, *, named: str) -> int:
    """The size of a zone; `named` is what nginx calls one that is too small. Raises ConfigError."""
    size = values.size(text)
    if size is None:
        hint = "a size is a number of bytes, or of k or m: 64k, 10m"
        raise ConfigError(f'invalid zone size "{word.text}"', word.span, hint=hint)
    if size < SMALLEST_ZONE:
        hint = f"the smallest is {SMALLEST_ZONE >> 10}k"
        raise ConfigError(f'zone "{named}" is too small', word.span, hint=hint)
    return size


def declare(reading: Reading, name: str, size: int, *, use: str, span: Span) -> None:
    """Note a name, with its size or 0; raises ConfigError where it disagrees with others."""
    draft = reading.draft
    use = f"{use} of {in_protocol(reading).scope.context}"
    if draft.zone_uses.setdefault(name, use) != use:
        message = f'the shared memory zone "{name}" is already declared for a different use'
        raise ConfigError(message, span, hint=f"it is one of {draft.zone_uses[name]}")
    known = draft.zones.get(name, 0)
    if size and known and size != known:
        raise ConfigError(
            f'the size {size} of shared memory zone "{name}"'
            f" conflicts with already declared size {known}",
            span,
        )
    draft.zones[name] = size or known
