"""Which file an order means, by the rules of nginx's static, index, autoindex, try_files modules.

No names are walked but the order's: what they mean was decided by the worker, from the
configuration and the client's URI. Links are followed, as nginx does. Everything here may wait for
a disk.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from tidegate.config.model import Level
from tidegate.http.local import Verdict
from tidegate.local.listing import listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOVED_PERMANENTLY = 301
BAD_REQUEST = 400
FORBIDDEN = 403
NOT_FOUND = 404
NOT_ALLOWED = 405
INTERNAL_SERVER_ERROR = 500

METHODS = frozenset(("GET", "HEAD", "POST"))
ABSENT = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG))
# What nginx leaves as it is in a URI that it builds.
UNESCAPED = "/!$&'()*+,-.:;=@_~"


@dataclass(frozen=True, slots=True)
class Found:
    """A file to serve; `fd` is open, and belongs to who asked."""

    fd: int
    status: os.stat_result
    media_type: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A page that lists a folder."""

    page: bytes


def look_up(order: Mapping[str, object]) -> Found | Listed | Verdict:
    """Find what the order of `http.local.file_request` means."""
    if order["method"] not in METHODS:
        return Verdict(status=NOT_ALLOWED)
    tries: Sequence[tuple[str, str, str]] = order["tries"]  # type: ignore[assignment]
    index: Sequence[str] = order["index"]  # type: ignore[assignment]
    if any(_unspeakable(path) for path, _uri, _type in tries):
        return Verdict(status=BAD_REQUEST, error="a path with a zero byte, or not from the root")
    if "else" in order:
        tries = [one for one in tries if _is_there(one[0])]
        if not tries:
            return _otherwise(order["else"])
    path, uri, media_type = tries[0]
    if uri.endswith("/"):
        listed = bool(order.get("list")) and order["method"] != "POST"
        return _index(path, uri, index) or _without_index(path, uri, listed=listed)
    found = _file(path, uri, media_type)
    if order["method"] == "POST" and isinstance(found, Found):
        os.close(found.fd)
        return Verdict(status=NOT_ALLOWED)
    return found


def _unspeakable(path: str) -> bool:
    return "\0" in path or not path.startswith("/")


def _is_there(path: str) -> bool:
    """Whether a candidate exists: a folder where it ends with a slash, else anything else."""
    try:
        status = os.stat(path.removesuffix("/") or "/")
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) == path.endswith("/")


def _otherwise(last: object) -> Verdict:
    if isinstance(last, int):
        return Verdict(status=last)
    uri, _mark, args = str(last).partition("?")
    # As in nginx the client's arguments go no further, unless they are written there.
    return Verdict(status=200, redirect=uri, args=None if uri.startswith("@") else args)


def _index(path: str, uri: str, names: Sequence[str]) -> Verdict | None:
    """The first index file that exists: the request goes on with its URI. None without one."""
    folder_is_there = False
    for name in names:
        if name.startswith("/"):
            return Verdict(status=200, redirect=name)
        if _unspeakable(path + name):
            continue
        try:
            os.stat(path + name)
        except OSError as error:
            if error.errno != errno.ENOENT:
                return _no_index(path + name, error)
            if not folder_is_there:
                try:
                    os.stat(path)
                except OSError as missing:
                    return _no_index(path, missing)
                folder_is_there = True
            continue
        return Verdict(status=200, redirect=uri + name)
    return None


def _without_index(path: str, uri: str, *, listed: bool) -> Listed | Verdict:
    if not listed:
        return Verdict(status=FORBIDDEN, error=f'directory index of "{path}" is forbidden')
    try:
        return Listed(listing(path, uri))
    except OSError as error:
        return _failed("opendir()", path, error)


def _no_index(path: str, error: OSError) -> Verdict:
    if error.errno == errno.EACCES:
        return Verdict(status=FORBIDDEN, error=f'"{path}" is forbidden {_reason(error)}')
    if error.errno in ABSENT:
        return Verdict(status=NOT_FOUND, error=f'"{path}" is not found {_reason(error)}')
    return _failed("stat()", path, error)


def _file(path: str, uri: str, media_type: str) -> Found | Verdict:
    try:
        # A pipe without a writer would be waited for.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return _failed("open()", path, error)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode):
        return Found(fd, status, media_type)
    os.close(fd)
    if stat.S_ISDIR(status.st_mode):
        escaped = quote(uri, safe=UNESCAPED, errors="surrogateescape")
        return Verdict(status=MOVED_PERMANENTLY, location=f"{escaped}/")
    return Verdict(status=NOT_FOUND, error=f'"{path}" is not a regular file', level=Level.CRIT)


def _failed(call: str, path: str, error: OSError) -> Verdict:
    words = f'{call} "{path}" failed {_reason(error)}'
    if error.errno in ABSENT:
        return Verdict(status=NOT_FOUND, error=words)
    if error.errno == errno.EACCES:
        return Verdict(status=FORBIDDEN, error=words)
    return Verdict(status=INTERNAL_SERVER_ERROR, error=words, level=Level.CRIT)


def _reason(error: OSError) -> str:
    return f"({error.errno}: {os.strerror(error.errno or 0)})"
