"""Text → statements, by the rules of nginx's token reader (`ngx_conf_read_token`).

A statement is words and what ends them: `;`, `{`, or, alone, `}` and the end of the file. These
marks, quotes and `#` count only where a word could begin, or end: `~^x}y$` is one word, and so
is `a"b`. A `{` after `$` belongs to the word. Nothing here knows a directive.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from tidegate.config.diagnostics import Problem
from tidegate.config.model import Level
from tidegate.config.span import COMMAND_LINE, Span
from tidegate.dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

# nginx reads through a buffer of this size (NGX_CONF_BUFFER) and a word must end inside it.
MAX_WORD_BYTES = 4096
LONGEST_CHARACTER = 4  # bytes of a character in UTF-8

BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*+")
WORD_STOP = re.compile(r"[ \t\r\n;{\\$]")
QUOTE_STOP = {'"': re.compile(r'["\\]'), "'": re.compile(r"['\\]")}
ESCAPE = re.compile(r"""\\(["'\\trn])""")
ESCAPED = {"t": "\t", "r": "\r", "n": "\n"}


class Ending(Enum):
    """What stands at the end of a statement."""

    SEMICOLON = ";"
    OPEN = "{"
    CLOSE = "}"
    FILE = ""


class Token(NamedTuple):
    """A word without its quotes and escapes, and where it begins."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Statement:
    """Words up to a mark; `end` is the place of the mark. A `broken` one was complained of."""

    words: tuple[Token, ...]
    ending: Ending
    end: Span
    broken: bool = False


class Lexer:
    """Reads one text; `statements` gives what it holds, in order, and goes on after mistakes."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._at = 0
        self._line = 1
        self._line_start = 0
        self._words: list[Token] = []
        self._broken = False

    def statements(self) -> Iterator[Statement | Problem]:
        """Statements and complaints; the last statement is the one with `Ending.FILE`."""
        nul = self._text.find("\0")
        if nul >= 0:
            self._go(nul)
            yield self._fault("a NUL byte: this is not a text file")
            return
        while True:
            self._go(BLANK.match(self._text, self._at).end())  # type: ignore[union-attr]
            mark = self._text[self._at : self._at + 1]
            if mark and mark not in ";{}":
                yield from self._take_word(mark)
                continue
            yield from self._end(mark)
            if not mark:
                return

    def _take_word(self, mark: str) -> Iterator[Problem]:
        word = self._word(mark)
        if isinstance(word, Token):
            self._words.append(word)
            fault = self._glued(mark)
        else:
            fault = word
        if fault is not None:
            self._broken = True
            yield fault

    def _end(self, mark: str) -> Iterator[Statement | Problem]:
        """What a mark, or the end of the text, makes of the words before it."""
        words, broken, place = tuple(self._words), self._broken, self._place()
        self._words.clear()
        self._broken = False
        self._at += len(mark)
        ending = Ending(mark)
        if ending in (Ending.FILE, Ending.CLOSE):
            if words and not (broken and ending is Ending.FILE):
                yield self._unended(words[-1], ending, place)
            yield Statement((), ending, place)
            return
        if not words and not broken:
            yield self._fault(f'unexpected "{mark}"', place)
            broken = True
        if words or ending is Ending.OPEN:
            yield Statement(words, ending, place, broken)

    def _go(self, to: int) -> None:
        lines = self._text.count("\n", self._at, to)
        if lines:
            self._line += lines
            self._line_start = self._text.rfind("\n", self._at, to) + 1
        self._at = to

    def _place(self) -> Span:
        return Span(self._file, self._line, self._at - self._line_start + 1)

    def _word(self, mark: str) -> Token | Problem:
        """The word that begins here; the lexer stands after it."""
        place = self._place()
        quoted = mark in QUOTE_STOP
        start = self._at + quoted
        limit = len(self._text)
        if self._file != COMMAND_LINE:
            limit = min(limit, start + MAX_WORD_BYTES + 1)
        end = self._quote_end(start, mark, limit) if quoted else self._bare_end(start, limit)
        if self._too_long(start, end):
            return self._overlong(place, mark if quoted else "", start)
        if quoted and end >= len(self._text):
            self._go(end)
            hint = f"the {mark} that opens in line {place.line} is not closed"
            line = self._line
            message = self._at_end()
            return Problem(severity=Level.EMERG, message=message, span=place, line=line, hint=hint)
        raw = self._text[start:end]
        self._go(end + quoted)
        return Token(unescape(raw) if "\\" in raw else raw, place)

    def _bare_end(self, at: int, limit: int) -> int:
        text = self._text
        while at < limit:
            stop = WORD_STOP.search(text, at, limit)
            if stop is None:
                return limit
            at = stop.end()
            if stop[0] == "\\":
                at += 1
            elif stop[0] == "$":
                while at < limit and text[at] == "{":
                    at += 1
            else:
                return stop.start()
        return min(at, limit)

    def _quote_end(self, at: int, mark: str, limit: int) -> int:
        pattern = QUOTE_STOP[mark]
        while stop := pattern.search(self._text, at, limit):
            if stop[0] == mark:
                return stop.start()
            at = stop.end() + 1
        return limit

    def _too_long(self, start: int, end: int) -> bool:
        if self._file == COMMAND_LINE or (end - start) * LONGEST_CHARACTER < MAX_WORD_BYTES:
            return False
        if end - start > MAX_WORD_BYTES:
            return True
        size = len(self._text[start:end].encode("utf-8", "surrogateescape"))
        return size >= MAX_WORD_BYTES

    def _overlong(self, place: Span, mark: str, start: int) -> Problem:
        """Complain of a word without an end in sight, and go on with the next line."""
        line_end = self._text.find("\n", start)
        self._go(len(self._text) if line_end < 0 else line_end)
        self._words.clear()
        if mark:
            message = f'too long parameter, probably missing terminating "{mark}" character'
        else:
            message = f'too long parameter "{self._text[start : start + 10]}..." started'
        return self._fault(message, place)

    def _glued(self, mark: str) -> Problem | None:
        """What nginx says of a character right behind a closing quote."""
        after = self._text[self._at : self._at + 1]
        if mark not in QUOTE_STOP or not after or after in " \t\r\n;{)":
            return None
        place = self._place()
        if after != "}":
            self._at += 1
        return self._fault(
            f'unexpected "{after}"', place, hint="a closing quote ends the word; put a space here"
        )

    def _at_end(self) -> str:
        if self._file == COMMAND_LINE:
            return 'unexpected end of parameter, expecting ";"'
        return 'unexpected end of file, expecting ";" or "}"'

    def _unended(self, last: Token, ending: Ending, place: Span) -> Problem:
        hint = f'a ";" is missing after "{shortened(last.text)}"'
        if ending is Ending.CLOSE:
            return self._fault('unexpected "}"', place, hint=hint)
        message, line = self._at_end(), self._line
        return Problem(severity=Level.EMERG, message=message, span=last.span, line=line, hint=hint)

    def _fault(
        self, message: str, place: Span | None = None, *, hint: str | None = None
    ) -> Problem:
        place = place or self._place()
        return Problem(severity=Level.EMERG, message=message, span=place, hint=hint)


def unescape(raw: str) -> str:
    r"""A word without its escapes: `\"`, `\'`, `\\`, `\t`, `\r`, `\n`; others stay as they are."""
    return ESCAPE.sub(lambda found: ESCAPED.get(found[1], found[1]), raw)


def shortened(text: str, size: int = 40) -> str:
    """`text` for a message, cut where it is long."""
    return text if len(text) <= size else text[:size] + "…"
