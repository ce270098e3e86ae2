"""Statements → a tree of directives, with included files in their place.

The tree keeps complaints (`Problem`) where they came up, so that whoever walks it meets mistakes
of every kind in the order in which nginx would.
"""

from __future__ import annotations

from tidegate.config.diagnostics import Problem
from tidegate.config.files import MAX_INCLUDE_DEPTH, FileError, Files
from tidegate.config.lexer import Ending, Lexer, Statement, Token
from tidegate.config.model import Level
from tidegate.config.span import COMMAND_LINE, Span
from tidegate.dataclasses import dataclass, field

# Blocks inside blocks, includes counted. nginx's own deepest is server/location/if: 5 or 6.
MAX_NESTING = 64

# Words of all files together, about 200 bytes each while the tree lives: 40,000 brokers with
# two parameters each.
MAX_WORDS = 200_000


@dataclass(slots=True, kw_only=True)
class Block:
    """What stands between `{` and `}`; `close` is the place of the `}`.

    `walked` is set by who goes through it.
    """

    items: list[Directive | Problem] = field(default_factory=list)
    close: Span | None = None
    walked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """One directive; `end` is the place of the `;` or `{` that ends its words.

    A `broken` one was already complained of, and only its block is of interest.
    """

    name: Token
    args: tuple[Token, ...]
    end: Span
    block: Block | None = None
    broken: bool = False


class Parser:
    """Reads a configuration into a tree; bounds hold for all its files together."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._words = 0
        self._reading: list[str] = []

    def file(self, path: str) -> list[Directive | Problem]:
        """The tree of the file at `path`, as far as it could be read."""
        try:
            source = self._files.read(path)
        except FileError as error:
            return [Problem(severity=Level.EMERG, message=str(error), span=None)]
        return self._parse(source.text, path, 0)

    def globals(self, text: str) -> list[Directive | Problem]:
        """The tree of directives given on the command line."""
        return self._parse(text, COMMAND_LINE, 0)

    def _parse(self, text: str, file: str, depth: int) -> list[Directive | Problem]:
        root = Block()
        self._reading.append(file)
        try:
            self._fill(root, Lexer(text, file), depth)
        finally:
            self._reading.pop()
        return root.items

    def _fill(self, root: Block, lexer: Lexer, depth: int) -> None:
        """Read statements into `root`; `open_` are the blocks not yet closed, with their heads."""
        open_: list[tuple[Block, Statement | None]] = [(root, None)]
        for statement in lexer.statements():
            block, head = open_[-1]
            if isinstance(statement, Problem):
                block.items.append(statement)
                continue
            limit = self._limit(statement, depth + len(open_))
            if limit is not None:
                block.items.append(limit)
                return
            if statement.ending is Ending.OPEN:
                inner = Block()
                block.items.append(_directive(statement, inner))
                open_.append((inner, statement))
            elif statement.ending is Ending.SEMICOLON:
                self._simple(statement, block, depth + len(open_))
            elif len(open_) > 1 and statement.ending is Ending.CLOSE:
                block.close = statement.end
                open_.pop()
            elif len(open_) > 1 and not any(isinstance(it, Problem) for it in block.items[-1:]):
                block.items.append(_unclosed(statement.end, head))
            elif statement.ending is Ending.CLOSE:
                block.items.append(_problem('unexpected "}"', statement.end))

    def _limit(self, statement: Statement, depth: int) -> Problem | None:
        self._words += len(statement.words)
        if statement.ending is Ending.OPEN and statement.end.file == COMMAND_LINE:
            return _problem("block directives are not supported in -g option", statement.end)
        if self._words > MAX_WORDS:
            return _problem(f"the configuration has more than {MAX_WORDS} words", statement.end)
        if depth > MAX_NESTING and statement.ending is Ending.OPEN:
            return _problem(f"blocks are nested more than {MAX_NESTING} deep", statement.end)
        return None

    def _simple(self, statement: Statement, block: Block, depth: int) -> None:
        if statement.words[0].text == "include" and not statement.broken:
            self._include(statement, block, depth)
        else:
            block.items.append(_directive(statement, None))

    def _include(self, statement: Statement, block: Block, depth: int) -> None:
        """Put the included files' directives into `block`."""
        if len(statement.words) != 2:  # noqa: PLR2004 - the name and one argument
            message = 'invalid number of arguments in "include" directive'
            block.items.append(_problem(message, statement.words[0].span, statement.end))
            return
        word = statement.words[1]
        for path in self._files.find(word.text):
            if path in self._reading:
                message = f'"{path}" is included while it is being read'
            elif len(self._reading) > MAX_INCLUDE_DEPTH:
                message = f"files are included more than {MAX_INCLUDE_DEPTH} deep"
            else:
                try:
                    source = self._files.read(path)
                except FileError as error:
                    message = str(error)
                else:
                    block.items.extend(self._parse(source.text, path, depth))
                    continue
            block.items.append(_problem(message, word.span, statement.end))


def _directive(statement: Statement, block: Block | None) -> Directive:
    words = statement.words or (Token("", statement.end),)
    return Directive(
        name=words[0], args=words[1:], end=statement.end, block=block, broken=statement.broken
    )


def _problem(
    message: str, span: Span, end: Span | None = None, *, hint: str | None = None
) -> Problem:
    line = end.line if end else None
    return Problem(severity=Level.EMERG, message=message, span=span, line=line, hint=hint)


def _unclosed(end: Span, opened: Statement | None) -> Problem:
    message = 'unexpected end of file, expecting "}"'
    if opened is None or not opened.words:
        return _problem(message, end)
    name = opened.words[0]
    hint = f'the "{name.text}" that opens in line {name.span.line} is not closed'
    return _problem(message, name.span, end, hint=hint)
