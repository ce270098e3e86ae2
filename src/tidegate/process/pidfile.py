r"""The pid file: nginx's format, and the proof that the process it names is ours.

The master holds two record locks far behind the end of its pid file. The first says "the place is
taken": a second start finds it and gives up; a master that only waits for its last sessions has let
it go. The second says "this process is ours": asking the kernel who holds it tells a reader whom to
signal. Locks end with the process, so a file without them is either stale or somebody else's.
Ours end in two line feeds (nobody who reads a number minds), which tells a stale one of ours from
the file of a living nginx.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
import struct
import time
from typing import NamedTuple

from tidegate.process.errors import StartError, failed

TAKEN = 0x7469646567617465  # "tidegate": nobody else locks there
OURS = TAKEN + 1
FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux
OUR_ENDING = b"\n\n"
PATIENCE_SECONDS = 2.0
PAUSE_SECONDS = 0.05
MAX_SIZE = 64  # more than any number, with space around it


class Named(NamedTuple):
    """What a pid file says: its raw text, and the process that holds our lock on it (0: none)."""

    text: bytes
    master: int


class PidFile:
    """The pid file of this process, held from `claim` to `release`."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def claim(cls, path: str) -> PidFile:
        """Write our number into `path`.

        Raises StartError if the file cannot be written, if an instance runs already, or if the
        file names a living process that is none of ours.
        """
        # The new file takes the place of the old one, not that of a link to it.
        path = os.path.realpath(path)
        old = _open_locked(path)
        try:
            _refuse_foreign(path, os.pread(old, MAX_SIZE, 0))
            return cls(path, _replace(path))
        except OSError as error:
            raise StartError(failed(f'open() "{path}"', error)) from error
        finally:
            os.close(old)

    def retire(self) -> None:
        """Let a new instance start while this one still serves its last sessions."""
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, TAKEN)

    def release(self) -> None:
        """Remove the file if it is still the one that we wrote."""
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(self.path), os.fstat(self._fd)):
                os.unlink(self.path)
        os.close(self._fd)


def read(path: str) -> Named:
    """Read what the file says and who holds it; raises OSError as `open` does."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return Named(os.pread(fd, MAX_SIZE, 0), _holder(fd))
    finally:
        os.close(fd)


def send_signal(path: str, number: signal.Signals) -> None:
    """Signal the instance that `path` belongs to; raises StartError if none runs."""
    try:
        named = read(path)
    except OSError as error:
        raise StartError(failed(f'open() "{path}"', error), "is tidegate running?") from error
    text = named.text.decode("latin-1").strip()
    if not text.isascii() or not text.isdigit():
        raise StartError(f'invalid PID number "{text}" in "{path}"')
    pid = int(text)
    try:
        process = os.pidfd_open(pid)
    except (OSError, OverflowError):
        raise StartError(
            f"kill({pid}, {number.value}) failed (3: No such process)",
            f'"{path}" is a left-over, tidegate does not run',
        ) from None
    try:
        # Asked after the process was pinned, so that the number cannot change hands in between.
        if read(path).master != pid:
            raise StartError(
                f'process {pid} in "{path}" is not a tidegate master', "nothing was signalled"
            )
        signal.pidfd_send_signal(process, number)
    except OSError as error:
        raise StartError(failed(f"kill({pid}, {number.value})", error)) from error
    finally:
        os.close(process)


def _open_locked(path: str) -> int:
    """Open or make the file and lock it, so that of two starts at once one goes on.

    A master that is just stopping has as long to let go of it as it has for its sockets.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
        except OSError as error:
            raise StartError(failed(f'open() "{path}"', error)) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise StartError(f'"{path}" is no regular file', 'let "pid" name one, or leave it out')
        if _lock(fd, TAKEN):
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(path), os.fstat(fd)):
                    return fd
        elif time.monotonic() > deadline:
            holder = _holder(fd)
            os.close(fd)
            raise StartError(
                f'tidegate is already running as process {holder}, says "{path}"',
                "stop it with -s stop, or give this one a pid file of its own",
            )
        else:
            time.sleep(PAUSE_SECONDS)
        os.close(fd)


def _refuse_foreign(path: str, text: bytes) -> None:
    digits = text.strip()
    if text.endswith(OUR_ENDING) or not digits.isdigit() or int(digits) == os.getpid():
        return
    pid = int(digits)
    try:
        os.close(os.pidfd_open(pid))
    except (OSError, OverflowError):
        return
    raise StartError(
        f'"{path}" names the running process {pid}{_called(pid)}, which is not tidegate',
        'give tidegate a pid file of its own with the "pid" directive',
    )


def _replace(path: str) -> int:
    """Put a new file in place of the old one in one step, with our number and our locks."""
    new = f"{path}.{os.getpid()}.new"
    with contextlib.suppress(FileNotFoundError):
        # Of a start with our number that was killed in this moment; they are few in a container.
        os.unlink(new)
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, b"%d%s" % (os.getpid(), OUR_ENDING))
        _lock(fd, TAKEN)
        _lock(fd, OURS)
        os.rename(new, path)
    except BaseException:
        os.close(fd)
        os.unlink(new)
        raise
    return fd


def _lock(fd: int, offset: int) -> bool:
    """Lock one byte if nobody else has."""
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _holder(fd: int) -> int:
    """Ask which master holds the file; 0 if none does."""
    question = FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, OURS, 1, 0)
    kind, _whence, start, _length, pid = FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, question))
    # A program that locks the whole of its own pid file starts elsewhere.
    return int(pid) if kind != fcntl.F_UNLCK and start in {TAKEN, OURS} else 0


def _called(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f" ({file.read().strip()})"
    except OSError:
        return ""
