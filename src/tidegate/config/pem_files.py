"""Files of certificates and keys: read once each, with nginx's words for what cannot be read."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from tidegate.config.model_tls import Pem
from tidegate.variables.values import encode

if TYPE_CHECKING:
    from collections.abc import Callable

# A bundle of all public authorities has 250 kB; lists of revoked certificates may have megabytes.
MOST_BYTES = 64 << 20

# What begins a name that is no name, but the content itself.
DATA = "data:"

# OpenSSL's numbers for a file that it does not get: its library of system calls, BIO's own.
SYSTEM = 0x80000000
NO_SUCH_FILE = "10000080:BIO routines::no such file"
SYSTEM_LIBRARY = "10080002:BIO routines::system lib"


class PemFiles:
    """Contents by path; `resolve` makes a path of the configuration absolute."""

    def __init__(self, resolve: Callable[[str], str]) -> None:
        self._resolve = resolve
        self._read: dict[str, bytes] = {}

    def read(self, name: str) -> Pem:
        """The file, or what stands behind "data:"; raises OSError."""
        if name.startswith(DATA):
            return Pem(path=DATA, data=encode(name.removeprefix(DATA)))
        path = self._resolve(name)
        data = self._read.get(path)
        if data is None:
            data = self._read[path] = content(path)
        return Pem(path=path, data=data)

    def path(self, name: str) -> str:
        """The absolute path of a name in the configuration."""
        return self._resolve(name)


def content(path: str) -> bytes:
    """All of a regular file; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        # As for OpenSSL: it can be opened, and nothing is in it.
        os.close(fd)
        return b""
    with open(fd, "rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return data


def as_openssl(error: OSError, path: str, more: str = "", *, mode: str = "r") -> str:
    """Why a file was not opened, as OpenSSL and so nginx say it; `more` is what follows from it."""
    number = error.errno or 0
    why = NO_SUCH_FILE if number == errno.ENOENT else SYSTEM_LIBRARY
    return (
        f"(SSL: error:{SYSTEM | number:08X}:system library::{os.strerror(number)}"
        f":calling fopen({path}, {mode}) error:{why}{more})"
    )
