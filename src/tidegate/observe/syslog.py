"""Lines to a syslog server: a datagram each, with the header of RFC 3164 that nginx writes.

Nobody waits for the server, and none has to be there: what it does not take is lost. A server on a
Unix socket that was away is found again at the next line.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

from tidegate.observe.losses import Losses

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.config.model import Syslog

# What stands for the path of a log file where lines go to a server: its address follows.
PREFIX = "syslog:"

DONT_WAIT = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def open_socket(path: str) -> int:
    """A descriptor for `syslog:ADDRESS`; raises OSError where there are no sockets."""
    text = path.removeprefix(PREFIX)
    host, _colon, port = text.rpartition(":")
    if text.startswith("unix:"):
        family, address = socket.AF_UNIX, text.removeprefix("unix:")
    else:
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    # It may come later, and there is no route to it yet.
    with contextlib.suppress(OSError):
        made.connect(address if family == socket.AF_UNIX else (host.strip("[]"), int(port)))
    return made.detach()


class Sender:
    """Sends lines to one server."""

    __slots__ = ("_head", "_name", "_second", "_server", "_socket", "_stamp")

    def __init__(self, fd: int, syslog: Syslog) -> None:
        """`fd` stays the caller's."""
        self._socket = socket.socket(fileno=os.dup(fd))
        self._server = syslog.address.sockaddr
        self._head = syslog.facility << 3
        host = f"{socket.gethostname()} " if syslog.hostname else ""
        self._name = f"{host}{syslog.tag}: ".encode("utf-8", "surrogateescape")
        self._second = -1
        self._stamp = b""

    def send(self, severity: int, line: bytes) -> None:
        """One line, without its end; raises OSError."""
        data = b"<%d>%s %s%s" % (self._head + severity, self._now(), self._name, line)
        try:
            self._socket.send(data, DONT_WAIT)
        except BlockingIOError:
            raise
        except OSError:
            # It was not there, or is there anew; an error of a datagram before is told now, too.
            self._socket.connect(self._server)
            self._socket.send(data, DONT_WAIT)

    def _now(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            now = time.localtime(second)
            clock = time.strftime("%H:%M:%S", now)
            self._stamp = f"{MONTHS[now.tm_mon - 1]} {now.tm_mday:2d} {clock}".encode()
        return self._stamp


class SyslogAccess:
    """An access log that goes to a server; in the place of an `AccessFile`."""

    def __init__(self, fd: int, syslog: Syslog, *, name: str, told: Callable[[str], None]) -> None:
        self._sender = Sender(fd, syslog)
        self._severity = syslog.severity
        self._name = name
        self._losses = Losses(name, told)

    def write(self, line: str) -> None:
        """Send a line."""
        try:
            self._sender.send(self._severity, line.encode("utf-8", "surrogateescape"))
        except OSError as error:
            why = f'send() to "{self._name}" failed ({error.errno}: {error.strerror})'
            self._losses.lose(1, why)
        else:
            self._losses.gain()

    def flush(self) -> None:
        """Nothing waits."""

    def leave(self) -> None:
        """As with a file: nothing waits."""

    def finish(self) -> None:
        """Tell what is lost."""
        self._losses.finish()
