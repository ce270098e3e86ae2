"""What is wrong with a configuration, in nginx's words and with a place to look at.

The first line of a problem is nginx's, so that people and scripts that know nginx's messages
know ours; the source line, the caret and the hint below it are for the reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.model import Level
from tidegate.config.span import COMMAND_LINE, Span
from tidegate.dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

# More than this no one reads; a hostile file must not fill memory with complaints.
MAX_PROBLEMS = 200

# A source line is shown up to this many characters on each side of the caret.
SHOWN_BEFORE = 60
SHOWN_AFTER = 80

# How surrogateescape keeps the bytes 0x80 to 0xFF where they were no UTF-8.
SURROGATE = 0xDC00
ESCAPED_BYTES = range(0xDC80, 0xDD00)

# No name of a directive or variable is half as long; comparing long words is slow.
LONGEST_NAME = 64


class ConfigError(Exception):
    """A directive that cannot be taken: nginx's words, where the caret goes, and what may help."""

    def __init__(self, message: str, span: Span | None = None, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.hint = hint


class TooManyProblemsError(Exception):
    """Reading on would only repeat itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One complaint.

    `span` is where the caret goes; None where the complaint is about no place. `line` is the line
    that nginx names, where the directive *ends*; None means the line of `span`. `late` problems
    come up after the syntax was found to be in order.
    """

    severity: Level
    message: str
    span: Span | None
    line: int | None = None
    hint: str | None = None
    late: bool = False

    @property
    def fatal(self) -> bool:
        """Whether the configuration cannot be used."""
        return self.severity > Level.WARN

    @property
    def words(self) -> str:
        """The message and its place as nginx writes them, safe for a terminal."""
        message = printable(self.message)
        if self.span is None:
            return message
        if self.span.file == COMMAND_LINE:
            return f"{message} in {COMMAND_LINE}"
        return f"{message} in {printable(self.span.file)}:{self.line or self.span.line}"

    @property
    def headline(self) -> str:
        """The whole first line: `tidegate: [emerg] unknown directive "x" in F:3`."""
        return f"tidegate: [{self.severity.name.lower()}] {self.words}"


class Report:
    """The problems of one reading, in the order in which nginx would meet them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.errors = 0

    def add(self, problem: Problem) -> None:
        """Keep a problem; raises TooManyProblemsError when there are enough of them."""
        self.problems.append(problem)
        self.errors += problem.fatal
        if len(self.problems) >= MAX_PROBLEMS:
            hint = f"only the first {MAX_PROBLEMS} problems are shown"
            message = "too many problems, reading stopped"
            stop = Problem(severity=Level.EMERG, message=message, span=None, hint=hint)
            self.problems.append(stop)
            self.errors += 1
            raise TooManyProblemsError

    def error(
        self, message: str, span: Span | None, *, line: int | None = None, hint: str | None = None
    ) -> None:
        """Keep an error."""
        self.add(Problem(severity=Level.EMERG, message=message, span=span, line=line, hint=hint))

    def warn(
        self, message: str, span: Span | None, *, line: int | None = None, hint: str | None = None
    ) -> None:
        """Keep a warning."""
        self.add(Problem(severity=Level.WARN, message=message, span=span, line=line, hint=hint))

    def late(self, message: str, *, hint: str | None = None) -> None:
        """Keep an error that nginx finds after it has called the syntax ok."""
        self.add(Problem(severity=Level.EMERG, message=message, span=None, hint=hint, late=True))


def printable(text: str) -> str:
    r"""`text` on one line, with whatever could move a terminal written as `\x1B`, `\u202E`."""
    if text.isprintable():
        return text
    return "".join([one if one.isprintable() else _escaped(ord(one)) for one in text])


def _escaped(code: int) -> str:
    if code in ESCAPED_BYTES:
        code -= SURROGATE
    if code < 1 << 8:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 1 << 16 else f"\\U{code:08X}"


def caret(source: str, column: int, *, indent: str = "  ") -> str:
    """The source line with a caret under `column` (from 1); tabs are shown as one space."""
    at = min(column - 1, len(source))
    before, after = source[:at].replace("\t", " "), source[at:].replace("\t", " ").rstrip()
    if len(before) > SHOWN_BEFORE:
        before = "…" + before[-SHOWN_BEFORE:]
    if len(after) > SHOWN_AFTER:
        after = after[:SHOWN_AFTER] + "…"
    shown = printable(before)
    return f"{indent}{shown}{printable(after)}\n{indent}{' ' * len(shown)}^"


def excerpt(problem: Problem, line_of: Callable[[Span], str | None]) -> str:
    """What stands below the first line: source, caret, hint; each line ends with a newline."""
    text = ""
    if problem.span is not None:
        source = line_of(problem.span)
        if source is not None and source.strip():
            text = caret(source, problem.span.column) + "\n"
    if problem.hint:
        text += f"  {printable(problem.hint)}\n"
    return text


def nearest(word: str, known: list[str]) -> str | None:
    """The known name that `word` was probably meant to be."""
    if len(word) > LONGEST_NAME:
        return None
    from difflib import get_close_matches  # noqa: PLC0415 - only who made a mistake pays for it

    found = get_close_matches(word, known, n=1, cutoff=0.7)
    return found[0] if found else None


def did_you_mean(word: str, known: list[str]) -> str | None:
    """A hint with the nearest known name, if one is near."""
    name = nearest(word, known)
    return f'did you mean "{name}"?' if name else None
