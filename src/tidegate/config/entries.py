"""Blocks whose lines are no directives but values: `map`, `geo`, `split_clients`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.diagnostics import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.config.draft import Reading
    from tidegate.config.parser import Directive


def read_entries(reading: Reading, directive: Directive, read: Callable[[Directive], None]) -> bool:
    """Give each line of a block to `read`, and report what it raises; True where all was well."""
    block = directive.block
    assert block is not None
    block.walked = True
    before = reading.report.errors
    for item in block.items:
        if isinstance(item, Problem):
            reading.report.add(item)
        elif item.block is not None:
            hint = f'a line of "{directive.name.text}" has no block; a ";" may be missing'
            reading.complain(ConfigError('unexpected "{"', item.end, hint=hint), item)
        elif not item.broken:
            try:
                read(item)
            except ConfigError as error:
                reading.complain(error, item)
    return reading.report.errors == before


def as_line_of(directive: Directive, entry: Directive) -> Directive:
    """A line of a block, under the name of the directive that has the block."""
    return type(entry)(name=directive.name, args=entry.args, end=entry.end)
