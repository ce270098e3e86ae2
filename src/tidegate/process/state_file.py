"""A learned table in a file: all of it, or nothing.

    magic, version, size of a record, second of the time | records | BLAKE2b hash of all before

A file is written beside its place and takes it when it is complete and on the disk; so whoever is
killed, and whenever, the one there is whole. One that is not, by whatever mishap, is not used.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import time
from hashlib import blake2b
from typing import TYPE_CHECKING

from tidegate.scoreboard.learned import LARGEST, RECORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.scoreboard.learned import Learned

MAGIC = b"tidetabl"
VERSION = 1
# In the order of the machine's bytes, as the records are.
HEAD = struct.Struct("=8sIIQ")
HASH_BYTES = 32
# Client identifiers are nobody else's business.
MODE = 0o600
NEW = ".new"


class StateError(ValueError):
    """A file that cannot be used; the text says why."""


def save(path: str, table: Learned) -> None:
    """Put the table, as it is, in the place of the file; raises OSError, and TimeoutError.

    Raises StateError where there is something that is no table, which is left as it is. Takes as
    long as the disk does.
    """
    _see_whose(path)
    new = path + NEW
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    try:
        with open(fd, "wb") as file:
            _write(file.write, table)
            file.flush()
            os.fsync(fd)
        os.rename(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise
    _settle(os.path.dirname(path) or ".")


def _see_whose(path: str) -> None:
    """See that nothing is lost but a table: a path may be wrong, or `/dev/null`."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISLNK(os.lstat(path).st_mode):
            return  # the new file takes the place of the link
        with open(_open(path), "rb") as file:
            head = file.read(len(MAGIC))
        if not _is_ours(head):
            raise StateError("there is a file that is no table of tidegate")


def _is_ours(head: bytes) -> bool:
    """Whether a file that begins so is a table, or was to become one."""
    return head[: len(MAGIC)] == MAGIC[: len(head)]


def _open(path: str) -> int:
    """A descriptor of a regular file; raises StateError."""
    # Without waiting for who might write into a FIFO.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise StateError("it is no file")
    return fd


def _write(write: Callable[[bytes], object], table: Learned) -> None:
    seen = blake2b(digest_size=HASH_BYTES)
    piece, entry = HEAD.pack(MAGIC, VERSION, RECORD, int(time.time())), 1
    while True:
        seen.update(piece)
        write(piece)
        if not entry:
            break
        piece, entry = table.part(entry)
    write(seen.digest())


def _settle(folder: str) -> None:
    """See that the new name is on the disk, too."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some file systems cannot do that with a folder.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)


def load(path: str, table: Learned, *, timeout: int) -> int:
    """Learn what a file says, but for what is older than `timeout`; how many entries.

    Raises StateError for a file that is not as it was written, and OSError.
    """
    with open(_open(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST:
            raise StateError(f"it has {size} bytes, more than any table")
        # Records are not copied once more: there may be 790 MB of them.
        head = file.read(HEAD.size)
        records = file.read(max(0, size - HEAD.size - HASH_BYTES))
        found = file.read(HASH_BYTES + 1)
    if not _is_ours(head):
        raise StateError("it is no table of tidegate")
    if len(head) + len(found) < HEAD.size + HASH_BYTES:
        raise StateError(f"it has {size} bytes and was cut short")
    _magic, version, record, saved = HEAD.unpack(head)
    if (version, record) != (VERSION, RECORD):
        raise StateError(f"it is of version {version} with {record} bytes for an entry")
    seen = blake2b(head, digest_size=HASH_BYTES)
    seen.update(records)
    if seen.digest() != found:
        raise StateError("its hash is wrong: it was cut short or changed")
    elapsed = max(0, int(time.time()) - saved)
    try:
        return table.fill(records, elapsed=elapsed, timeout=timeout)
    except ValueError as error:
        raise StateError(str(error)) from error
