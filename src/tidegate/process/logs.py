"""Log files: opened by the master for appending, handed to the workers as descriptors.

Reopening puts the new file under the old descriptor's number, so nobody who writes has to know.
Access logs with variables in their path are not here: workers open those themselves.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tidegate.config.parts import access_logs, error_logs
from tidegate.observe.error_log import STDERR
from tidegate.observe.opening import anew, open_log
from tidegate.process.errors import StartError, failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tidegate.config.model import Model


def paths_of(model: Model) -> Iterator[str]:
    """Every log file that `model` writes to; some may come twice."""
    yield from (log.path for log in error_logs(model) if log.path is not None)
    yield from (log.path for log in access_logs(model) if log.name is None)


def free_stderr(model: Model) -> None:
    """Make stderr one that does not wait, where a log goes there; for us and our children."""
    if any(log.path is None for log in error_logs(model)):
        fd = anew(STDERR)
        os.dup2(fd, STDERR)
        os.close(fd)


class LogFiles:
    """The open log files of this instance, by path."""

    def __init__(self) -> None:
        self.fds: dict[str, int] = {}

    def open(self, paths: Iterable[str]) -> list[str]:
        """Open what is not open yet and give its paths, for `drop`.

        Raises StartError at the first that cannot be opened, and has then opened none.
        """
        new: list[str] = []
        for path in paths:
            if path in self.fds:
                continue
            try:
                self.fds[path] = open_log(path)
            except OSError as error:
                self.drop(new)
                raise StartError(failed(f'open() "{path}"', error), _mend(error, path)) from error
            new.append(path)
        return new

    def drop(self, paths: Iterable[str]) -> None:
        """Close these."""
        for path in paths:
            os.close(self.fds.pop(path))

    def keep(self, paths: Iterable[str]) -> None:
        """Close all but these."""
        self.drop(self.fds.keys() - set(paths))

    def reopen(self, report: Callable[[str], None]) -> None:
        """Open all anew, as after a rotation; one that fails is reported and stays as it was."""
        for path, fd in self.fds.items():
            try:
                new = open_log(path)
            except OSError as error:
                report(failed(f'open() "{path}"', error))
                continue
            replace({path: fd}, {path: new})

    def close(self) -> None:
        """Close all; writing to them is over."""
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()


def replace(old: Mapping[str, int], new: Mapping[str, int]) -> None:
    """Put each descriptor of `new` under the number that `old` has for its path, and close it."""
    for path, fd in new.items():
        if path in old:
            os.dup2(fd, old[path], inheritable=False)
        os.close(fd)


def _mend(error: OSError, path: str) -> str | None:
    folder = os.path.dirname(path)
    if isinstance(error, FileNotFoundError):
        return f'the folder "{folder}" does not exist'
    if isinstance(error, PermissionError):
        return "choose a log that this user may write, or run as another user"
    return None
