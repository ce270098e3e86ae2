"""Goes through the tree of directives in nginx's order and holds each to the table.

A directive that is in order goes to its handler; whatever is not becomes a problem, and the walk
goes on with the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from tidegate.config import grammar
from tidegate.config.diagnostics import ConfigError, Problem, Report, did_you_mean
from tidegate.config.row import Kind, Row, Status
from tidegate.config.scope import slot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope

D = TypeVar("D")

# Reads one directive that may stand where it stands, and its block.
Handler: TypeAlias = "Callable[[Walk[D], Directive, Scope], None]"

BYTE_ORDER_MARK = "\ufeff"


class Walk(Generic[D]):
    """One pass over a configuration; `draft` is what handlers fill."""

    def __init__(
        self, draft: D, report: Report, handlers: Mapping[tuple[str, str], Handler[D]]
    ) -> None:
        """`handlers` are found by context and name; those of a whole kind need none."""
        self.draft = draft
        self.report = report
        self._handlers = handlers
        self.ignored: dict[str, Directive] = {}

    def items(self, items: list[Directive | Problem], scope: Scope) -> None:
        """Go through the contents of a block or file."""
        for item in items:
            if isinstance(item, Problem):
                self.report.add(item)
            elif item.broken:
                self._skip(item)
            else:
                self._attempt(item, scope)

    def block(self, directive: Directive, scope: Scope) -> bool:
        """Go through a directive's block; True if nothing in it was wrong."""
        before = self.report.errors
        assert directive.block is not None
        directive.block.walked = True
        self.items(directive.block.items, scope)
        return self.report.errors == before

    def _attempt(self, directive: Directive, scope: Scope) -> None:
        try:
            self._directive(directive, scope)
        except ConfigError as error:
            self.complain(error, directive)
        if directive.block is not None and not directive.block.walked:
            self._skip(directive)

    def complain(self, error: ConfigError, directive: Directive) -> None:
        """Report an error of a directive; nginx names the line where the directive ends."""
        span = error.span or directive.name.span
        line = directive.end.line if span.file == directive.end.file else None
        hint = _swallowed(directive) or error.hint
        self.report.error(error.message, span, line=line, hint=hint)

    def _directive(self, directive: Directive, scope: Scope) -> None:
        row = grammar.find(directive.name.text, scope.context)
        if row is None:
            raise _misplaced(directive, scope.context)
        if row.status is not Status.REFUSED:
            _check_shape(directive, row)
        if row.status in (Status.LATER, Status.REFUSED):
            self._refuse(directive, row, scope)
            return
        handler = self._handlers.get((scope.context, row.name))
        if handler is not None:
            handler(self, directive, scope)
        elif row.kind is not Kind.SPECIAL:
            scope.claim(row.name, directive.name.span)
            scope.put(row.name, slot(row, directive.args[0]))
        if row.status is Status.IGNORED:
            self._ignore(directive, row)

    def _refuse(self, directive: Directive, row: Row, scope: Scope) -> None:
        if row.kind is Kind.FLAG:
            slot(row, directive.args[0])
        if row.status is Status.LATER and [word.text for word in directive.args] == [
            row.always or "off"
        ]:
            return  # as if it were not there
        handler = self._handlers.get((scope.context, row.name))
        if handler is not None:
            handler(self, directive, scope)
        yet = " yet" if row.status is Status.LATER else ""
        message = f'"{row.name}" directive is not supported{yet}'
        raise ConfigError(message, hint=row.reason)

    def _ignore(self, directive: Directive, row: Row) -> None:
        if row.name in self.ignored or [word.text for word in directive.args] == [row.always]:
            return
        self.ignored[row.name] = directive
        line = directive.end.line
        message = f'"{row.name}" directive is ignored: {row.reason}'
        self.report.warn(message, directive.name.span, line=line)

    def _skip(self, directive: Directive) -> None:
        """Pass over a block whose directives are not looked at; its syntax counts all the same."""
        stack = [directive.block] if directive.block else []
        while stack:
            for item in stack.pop().items:
                if isinstance(item, Problem):
                    self.report.add(item)
                elif item.block is not None:
                    stack.append(item.block)


def _check_shape(directive: Directive, row: Row) -> None:
    """Whether block and arguments are as the table says; raises ConfigError."""
    name = row.name
    if row.opens and directive.block is None:
        raise ConfigError(f'directive "{name}" has no opening "{{"', directive.end)
    if directive.block is not None and not row.opens:
        hint = 'end it with ";", it has no block'
        raise ConfigError(f'directive "{name}" is not terminated by ";"', directive.end, hint=hint)
    if not row.takes(len(directive.args)):
        message = f'invalid number of arguments in "{name}" directive'
        raise ConfigError(message)


def _swallowed(directive: Directive) -> str | None:
    """Whether a forgotten `;` made the next line part of this directive."""
    for before, word in zip((directive.name, *directive.args), directive.args, strict=False):
        if word.span.line > before.span.line and grammar.rows_of(word.text):
            return f'a ";" is missing at the end of line {before.span.line}'
    return None


def _misplaced(directive: Directive, context: str) -> ConfigError:
    name = directive.name.text
    if grammar.rows_of(name):
        message = f'"{name}" directive is not allowed here'
        return ConfigError(message, hint=f"it may stand {grammar.where(name)}")
    if name.startswith(BYTE_ORDER_MARK):
        hint: str | None = "the file begins with a byte order mark; save it as UTF-8 without one"
    else:
        hint = did_you_mean(name, grammar.names_in(context))
    return ConfigError(f'unknown directive "{name}"', hint=hint)
