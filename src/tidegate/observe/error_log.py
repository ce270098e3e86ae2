"""The error log: nginx's lines, to files and to stderr, each with its own threshold."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from tidegate.config.model import Level
from tidegate.observe.outlet import writer_to
from tidegate.observe.syslog import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tidegate.config import model

STDERR = 2

# nginx cuts its lines at 2048 bytes. Twice that, as our lines carry the client identifier too;
# not more, since a pipe takes only so much in one piece (PIPE_BUF).
MAX_LINE = 4096

NAMES = {level: level.name.lower() for level in Level}


def escape(text: str) -> str:
    r"""`text` with everything that a terminal could obey, or that is no text, as `\xHH`."""
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable()
        else "".join(f"\\x{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
        for character in text
    )


class ErrorLog:
    """The error logs of one context (main, or a server) in this process.

    `fds` gives the open descriptor of each path; stderr needs none. A line that is not taken is
    lost: neither a full disk nor a pipe that nobody reads may stop the relay. The log itself says
    how many were, once it takes lines again.
    """

    __slots__ = ("_logs", "_second", "_stamp", "_targets", "threshold")

    def __init__(self, logs: Iterable[model.ErrorLog], fds: Mapping[str, int]) -> None:
        self._logs = tuple(logs)
        self._second = -1
        self._stamp = ""
        self.reopen(fds)

    def reset(self, logs: Iterable[model.ErrorLog], fds: Mapping[str, int]) -> None:
        """Be the log of another configuration from now on."""
        self._logs = tuple(logs)
        self.reopen(fds)

    def reopen(self, fds: Mapping[str, int]) -> None:
        """Write to these descriptors from now on."""
        self._targets = tuple(
            _Target(log, STDERR if log.path is None else fds[log.path]) for log in self._logs
        )
        self.threshold = min((log.level for log in self._logs), default=Level.EMERG + 1)

    def enabled(self, level: Level) -> bool:
        """Whether a line of this level goes anywhere; ask before making a costly message."""
        return level >= self.threshold

    def write(self, level: Level, message: str, *, connection: int | None = None) -> None:
        """One line; `connection` is the number of the session that it tells of."""
        if level < self.threshold:
            return
        about = "" if connection is None else f"*{connection} "
        line = self._line(level, about + escape(message))
        for target in self._targets:
            if level >= target.level:
                self._put(target, level, line)

    def _put(self, target: _Target, level: Level, line: bytes) -> None:
        if target.lost:
            told = f"{target.lost} lines of this log were lost"
            if not target.takes(Level.ALERT, self._line(Level.ALERT, told)):
                target.lost += 1
                return
            target.lost = 0
        if not target.takes(level, line):
            target.lost += 1

    def _line(self, level: Level, text: str) -> bytes:
        pid = os.getpid()
        line = f"{self._now()} [{NAMES[level]}] {pid}#{pid}: {text}"
        return line.encode("utf-8", "replace")[: MAX_LINE - 1] + b"\n"

    def _now(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(second))
        return self._stamp


class _Target:
    """One file, or server, that lines go to; `lost` counts those it did not take."""

    __slots__ = ("_put", "level", "lost")

    def __init__(self, log: model.ErrorLog, fd: int) -> None:
        self.level = log.level
        self.lost = 0
        self._put = _to_file(fd) if log.syslog is None else _to_server(fd, log.syslog)

    def takes(self, level: Level, line: bytes) -> bool:
        """Write `line` and return True, or False where that fails."""
        try:
            self._put(level, line)
        except OSError:
            return False
        return True


def _to_file(fd: int) -> Callable[[Level, bytes], object]:
    write = writer_to(fd)
    return lambda _level, line: write(line)


def _to_server(fd: int, syslog: model.Syslog) -> Callable[[Level, bytes], object]:
    sender = Sender(fd, syslog)
    return lambda level, line: sender.send(Level.EMERG - level, line[:-1])


class LogHandler(logging.Handler):
    """Brings what asyncio and other users of `logging` say into the error log."""

    def __init__(self, log: ErrorLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One line for the message and one for each line of its traceback."""
        level = _level(record.levelno)
        if not self._log.enabled(level):
            return
        for line in self.format(record).splitlines():
            self._log.write(level, line)


def route_logging(log: ErrorLog) -> None:
    """Bring everything that this process says through `logging` into `log`."""
    root = logging.getLogger()
    root.handlers[:] = [LogHandler(log)]
    root.setLevel(logging.WARNING)


def _level(number: int) -> Level:
    if number >= logging.CRITICAL:
        return Level.ALERT
    if number >= logging.ERROR:
        return Level.ERROR
    if number >= logging.WARNING:
        return Level.WARN
    return Level.INFO if number >= logging.INFO else Level.DEBUG
