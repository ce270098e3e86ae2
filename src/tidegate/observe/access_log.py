"""Access logs: one line per session, in the words of its `log_format`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, TypeVar

from tidegate.variables.template import Variable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from tidegate.config import model

T = TypeVar("T")

# Lines of one turn go out in one write; a turn ends this many sessions at most (engine: DECISIONS),
# so with lines of some 300 bytes a write stays near 20 KB.
_PLAIN = frozenset(range(0x20, 0x7F)) - {ord('"'), ord("\\")}


def escape_default(value: str | None) -> str:
    r"""nginx's `escape=default`: quotes, backslashes and everything not ASCII print as `\xHH`."""
    if value is None:
        return "-"
    if value.isascii() and value.isprintable() and '"' not in value and "\\" not in value:
        return value
    return "".join(
        chr(byte) if byte in _PLAIN else f"\\x{byte:02X}"
        for byte in value.encode("utf-8", "surrogateescape")
    )


def escape_json(value: str | None) -> str:
    """nginx's `escape=json`: what stands between the quotes of a JSON string."""
    if value is None:
        return ""
    text = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return json.dumps(text, ensure_ascii=False)[1:-1]


def escape_none(value: str | None) -> str:
    """nginx's `escape=none`; a line end would forge a line, so it alone is still escaped."""
    if value is None:
        return ""
    return value.replace("\r", "\\x0D").replace("\n", "\\x0A")


ESCAPES = {"default": escape_default, "json": escape_json, "none": escape_none}


def compile_line(
    log_format: model.LogFormat, getters: Mapping[str, Callable[[T], str | None]]
) -> Callable[[T], str]:
    """A function that gives a session's line, without its end."""
    escape = ESCAPES[log_format.escape]
    steps = [
        getters[part.name] if isinstance(part, Variable) else part
        for part in log_format.template.parts
    ]
    return lambda session: "".join(
        [step if isinstance(step, str) else escape(step(session)) for step in steps]
    )


class AccessFile:
    """One log file of this process; lines wait until the end of the turn of `loop`."""

    def __init__(
        self, fd: int, loop: asyncio.AbstractEventLoop, *, changed: Callable[[str], None]
    ) -> None:
        self._fd = fd
        self._loop = loop
        self._changed = changed  # told when lines begin to be lost, and when no more are
        self._lines: list[str] = []
        self._cut = False  # the last line in the file has no end
        self.lost = 0  # lines that were not taken since the last that was

    def write(self, line: str) -> None:
        """Put a line on its way."""
        if not self._lines:
            self._loop.call_soon(self.flush)
        self._lines.append(line)

    def flush(self) -> None:
        """Write what waits."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        data = ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
        if self._cut:
            data = b"\n" + data
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            self._lose(len(lines), f"{error.errno}: {error.strerror}")
            return
        self._cut = not data[:written].endswith(b"\n")
        if written < len(data):
            self._lose(data[written:].count(b"\n"), "not all of it was taken")
        elif self.lost:
            self._changed(f"the access log is written again, {self.lost} lines were lost")
            self.lost = 0

    def _lose(self, lines: int, why: str) -> None:
        if not self.lost:
            self._changed(f"write() to the access log failed ({why}), lines are lost")
        self.lost += lines
