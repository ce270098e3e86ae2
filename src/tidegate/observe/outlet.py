"""Bytes on their way to a log: nobody waits for them, and what is not taken is bounded."""

from __future__ import annotations

import os
import socket
import stat
import time
from functools import cache, partial
from select import PIPE_BUF
from typing import TYPE_CHECKING

from tidegate.observe.losses import CALM_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.observe.losses import Losses

# What a pipe did not take yet. With a pipe's own 64 KiB it holds some 1000 lines of 300 bytes.
WAITING_BYTES = 256 * 1024

END = b"\n"


class Outlet:
    """Whole lines go in by `put`; what a full pipe does not take `waiting`, and goes out by `push`.

    A log that fails is not asked again within a second: asking a full disk may cost milliseconds.
    """

    __slots__ = ("_cut", "_losses", "_name", "_pipe", "_rest_until", "_write", "waiting")

    def __init__(
        self,
        fd: int,
        *,
        name: str,
        losses: Losses,
        write: Callable[[bytes], int] | None = None,
    ) -> None:
        """`write` is `writer_to(fd)`, if nothing else is given."""
        self._write = write or writer_to(fd)
        # Another process writes to it, too; so much at once goes in unbroken.
        self._pipe = not stat.S_ISREG(os.fstat(fd).st_mode)
        self._name = name
        self._losses = losses
        self._rest_until = 0.0
        self._cut = False  # the last line in the log is to be ended, as its rest is lost
        self.waiting = b""

    def put(self, data: bytes) -> None:
        """Write `data` now, or as soon as the log takes it."""
        if self._rest_until and time.monotonic() < self._rest_until:
            self._losses.lose(data.count(END), "")
            return
        if self.waiting and len(self.waiting) + len(data) > WAITING_BYTES:
            self.push()
            if len(self.waiting) + len(data) > WAITING_BYTES:
                self._losses.lose(data.count(END), f'nobody reads "{self._name}" fast enough')
                return
        self.waiting += data
        self.push()

    def push(self) -> None:
        """Write what waits, as far as it is taken."""
        data, at = self.waiting, 0
        ending = self._cut and bool(data)
        if ending:
            data = END + data
        while at < len(data):
            end = _end_of_part(data, at) if self._pipe else len(data)
            try:
                at += self._write(data[at:end] if self._pipe else data[at:])
            except BlockingIOError:
                self.waiting = data[max(at, ending) :]
                self._cut = ending and not at
                return
            except OSError as error:
                self._fail(error, data, at, ending=ending)
                return
        self.waiting = b""
        if data:
            self._cut = False
            self._rest_until = 0.0
            self._losses.gain()

    def finish(self) -> None:
        """Write what waits for the last time, and tell what is lost."""
        self.push()
        if self.waiting:
            self._losses.lose(self.waiting.count(END), f'nobody reads "{self._name}"')
            self.waiting = b""
        self._losses.finish()

    def _fail(self, error: OSError, data: bytes, at: int, *, ending: bool) -> None:
        """Give up all from `at` on; with `ending`, `data` begins with the end of a cut line."""
        self.waiting = b""
        self._cut = data[at - 1 : at] != END if at else ending
        self._rest_until = time.monotonic() + CALM_SECONDS
        why = f'write() to "{self._name}" failed ({error.errno}: {error.strerror})'
        self._losses.lose(data.count(END, max(at, ending)), why)


def writer_to(fd: int) -> Callable[[bytes], int]:
    """A function that writes to `fd` and does not wait; raises OSError.

    A socket is somebody else's too, so that each write has to say for itself that it will not wait.
    """
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        mode = 0  # closed, as stderr may be
    if not stat.S_ISSOCK(mode):
        return partial(os.write, fd)
    sock = _socket(fd)
    return lambda data: sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


@cache
def _socket(fd: int) -> socket.socket:
    """One for each descriptor: stdout or stderr, as no other log can be a socket."""
    return socket.socket(fileno=os.dup(fd))


def _end_of_part(data: bytes, at: int) -> int:
    """Where whole lines end that go into a pipe at once; at least one line."""
    return (data.rfind(END, at, at + PIPE_BUF) + 1) or (data.find(END, at) + 1) or len(data)
