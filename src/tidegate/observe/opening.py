"""Opening a log so that no write to it waits: for no reader of a pipe, for no stopped terminal."""

from __future__ import annotations

import os
import stat
from errno import EACCES, ENXIO

from tidegate.observe import syslog

MODE = 0o644  # nginx's

# A container's output may be a socket, which cannot be opened by name, or belong to another user.
STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}

APPEND = os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def open_log(path: str) -> int:
    """A descriptor that appends to `path`; raises OSError."""
    if path in STANDARD:
        return anew(STANDARD[path])
    if path.startswith(syslog.PREFIX):
        return syslog.open_socket(path)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | APPEND, MODE)
    except OSError as error:
        if error.errno != ENXIO:
            raise
        return os.open(path, os.O_RDWR | APPEND)  # a FIFO without a reader
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        return _with_its_end(path, fd)
    return fd


def anew(number: int) -> int:
    """A descriptor of what `number` is: one that does not wait, where that is to be had.

    Setting `O_NONBLOCK` on `number` itself would set it for everyone who has it, the user's shell
    among them. A file is left as it is: it never waits, and its place for writing is shared.
    """
    mode = os.fstat(number).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            return os.open(f"/proc/self/fd/{number}", os.O_WRONLY | APPEND)
        except OSError:
            pass  # it belongs to another user, or its reader is gone
    return os.dup(number)


def _with_its_end(path: str, fd: int) -> int:
    """A FIFO with a reading end of our own: what is in it outlives its reader, up to 64 KiB."""
    try:
        both = os.open(path, os.O_RDWR | APPEND)
    except OSError as error:
        if error.errno != EACCES:
            os.close(fd)
            raise
        return fd
    os.close(fd)
    return both
