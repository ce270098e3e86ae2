"""The logs of a process: from a model's words to open files."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tidegate.observe.access_file import AccessFile, BufferedFile
from tidegate.observe.access_log import compile_line
from tidegate.observe.error_log import ErrorLog
from tidegate.observe.named_log import NamedLog
from tidegate.observe.syslog import SyslogAccess
from tidegate.variables.template import compile_template

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Container, Mapping

    from tidegate.config import model
    from tidegate.variables.template import Template

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
        self._files: dict[
            tuple[str, model.LogBuffer | None, model.Syslog | None], AccessFile | SyslogAccess
        ] = {}
        self._named: dict[tuple[str, model.OpenLogFiles | None], NamedLog] = {}

    def error_log(self, logs: tuple[model.ErrorLog, ...]) -> ErrorLog:
        """The error log of a context."""
        return ErrorLog(logs, self._fds)

    def access_log(
        self, log: model.AccessLog, getters: Mapping[str, Callable[[T], str | None]]
    ) -> Callable[[T], None]:
        """A function that writes a session's line."""
        line = compile_line(log.format, getters)
        write = self._writer(log, line, getters)
        if log.condition is None:
            return write
        condition = compile_template(log.condition, getters)
        return lambda session: None if condition(session) in ("", "0") else write(session)

    def _writer(
        self,
        log: model.AccessLog,
        line: Callable[[T], str],
        getters: Mapping[str, Callable[[T], str | None]],
    ) -> Callable[[T], None]:
        if log.name is None:
            file = self._file(log)
            return lambda session: file.write(line(session))
        named = self._named.setdefault(
            (log.path, log.cache),
            NamedLog(log.path, folder=_folder(log.name), cache=log.cache, told=self._alert),
        )
        name = compile_template(log.name, getters)
        return lambda session: named.write(name(session), line(session))

    def _file(self, log: model.AccessLog) -> AccessFile | SyslogAccess:
        key = (log.path, log.buffer, log.syslog)
        file = self._files.get(key)
        if file is None:
            file = self._files[key] = self._opened(log)
        return file

    def _opened(self, log: model.AccessLog) -> AccessFile | SyslogAccess:
        fd, name = self._fds[log.path], log.path
        if log.syslog is not None:
            return SyslogAccess(fd, log.syslog, name=name, told=self._alert)
        if log.buffer is None:
            return AccessFile(fd, self._loop, name=name, told=self._alert)
        return BufferedFile(fd, self._loop, name=name, told=self._alert, buffer=log.buffer)

    def flush(self) -> None:
        """Write every line that waits, before the files behind the descriptors change."""
        for file in self._files.values():
            file.flush()
        for named in self._named.values():
            named.close()

    def keep(self, paths: Container[str]) -> None:
        """Forget all files but these; who still writes to another does so without a buffer."""
        for key in [key for key in self._files if key[0] not in paths]:
            self._files.pop(key).leave()

    def finish(self) -> None:
        """Write every line that waits; for the last moment of a process."""
        for file in self._files.values():
            file.finish()
        for named in self._named.values():
            named.finish()


def _folder(name: Template) -> str:
    """The folder that a path with variables is certain to be in, with its slash."""
    first = name.parts[0]
    assert isinstance(first, str)
    return first[: first.rindex("/") + 1]
