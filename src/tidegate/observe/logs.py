"""The logs of a process: from a model's words to open files."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tidegate.observe.access_log import AccessFile, compile_line
from tidegate.observe.error_log import ErrorLog

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from tidegate.config import model

T = TypeVar("T")


class Logs:
    """Makes logs over open descriptors; `fds` gives one for each path and may grow.

    `alert` is told when lines of an access log are lost, and when no more are.
    """

    def __init__(
        self,
        fds: Mapping[str, int],
        loop: asyncio.AbstractEventLoop,
        *,
        alert: Callable[[str], None],
    ) -> None:
        self._fds = fds
        self._loop = loop
        self._alert = alert
        self._files: dict[str, AccessFile] = {}

    def error_log(self, logs: tuple[model.ErrorLog, ...]) -> ErrorLog:
        """The error log of a context."""
        return ErrorLog(logs, self._fds)

    def access_log(
        self, log: model.AccessLog, getters: Mapping[str, Callable[[T], str | None]]
    ) -> Callable[[T], None]:
        """A function that writes a session's line."""
        file = self._files.get(log.path)
        if file is None:
            file = self._files[log.path] = AccessFile(
                self._fds[log.path],
                self._loop,
                changed=lambda what: self._alert(f"{log.path}: {what}"),
            )
        line = compile_line(log.format, getters)
        return lambda session: file.write(line(session))

    def flush(self) -> None:
        """Write every line that waits; for the last moment of a process."""
        for file in self._files.values():
            file.flush()
