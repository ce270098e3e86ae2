"""The logs of a process that the master opens for it: descriptors, for as long as needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tidegate.observe.error_log import STDERR
from tidegate.process.logs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tidegate.process.channel import Message

KEY = "log:"


class GivenFd(int):
    """The number of an open log; it is closed with the last who has this object.

    Servers of a former configuration write to their logs until their last session has ended.
    """

    __slots__ = ()

    def __del__(self) -> None:
        os.close(self)


class GivenLogs:
    """What came from the master so far, and is in use."""

    def __init__(self) -> None:
        self.fds: dict[str, GivenFd] = {}

    def take(self, message: Message) -> None:
        """Take the logs that came with a message; one that is open goes on as the new file."""
        given = {key[len(KEY) :]: fd for key, fd in message.fds.items() if key.startswith(KEY)}
        replace(self.fds, {path: fd for path, fd in given.items() if path in self.fds})
        for path in given.keys() - self.fds.keys():
            self.fds[path] = GivenFd(given[path])
        self.take_stderr(message)

    def take_stderr(self, message: Message) -> None:
        """Write to the stderr that came with a message, if one did."""
        fd = message.fds.pop("stderr", None)
        if fd is not None:
            os.dup2(fd, STDERR)
            os.close(fd)

    def keep(self, paths: Iterable[str]) -> None:
        """Let go of all but these."""
        for path in self.fds.keys() - set(paths):
            del self.fds[path]
