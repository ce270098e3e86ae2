"""A learned table in a file: all of it, or nothing.

    magic, version, size of a record, second of the time | records | BLAKE2b hash of all before

A file is written beside its place and takes it when it is complete and on the disk; so whoever is
killed, and whenever, the one there is whole. One that is not, by whatever mishap, is not used.
"""

from __future__ import annotations

import contextlib
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

    Takes as long as the disk does.
    """
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
    finally:
        os.close(fd)


def load(path: str, table: Learned, *, timeout: int) -> int:
    """Learn what a file says, but for what is older than `timeout`; how many entries.

    Raises StateError for a file that is not as it was written, and OSError.
    """
    data = memoryview(_read(path))
    if len(data) < HEAD.size + HASH_BYTES:
        raise StateError(f"it has {len(data)} bytes and was cut short")
    magic, version, record, saved = HEAD.unpack_from(data)
    if magic != MAGIC:
        raise StateError("it is no table of tidegate")
    if (version, record) != (VERSION, RECORD):
        raise StateError(f"it is of version {version} with {record} bytes for an entry")
    if blake2b(data[:-HASH_BYTES], digest_size=HASH_BYTES).digest() != data[-HASH_BYTES:]:
        raise StateError("its hash is wrong: it was cut short or changed")
    elapsed = max(0, int(time.time()) - saved)
    try:
        return table.fill(bytes(data[HEAD.size : -HASH_BYTES]), elapsed=elapsed, timeout=timeout)
    except ValueError as error:
        raise StateError(str(error)) from error


def _read(path: str) -> bytes:
    # Without waiting for who might write into a FIFO.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        now = os.fstat(fd)
        if not stat.S_ISREG(now.st_mode):
            raise StateError("it is no file")
        if now.st_size > LARGEST:
            raise StateError(f"it has {now.st_size} bytes, more than any table")
        return file.read(LARGEST)
