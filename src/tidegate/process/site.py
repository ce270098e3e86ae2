"""Where content of our own is served: a socket in a folder that only the workers' user may enter.

The master makes both and keeps the socket, so that workers who ask while there is no control
process wait for the next one.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import socket
import time
from typing import TYPE_CHECKING

from tidegate.config.model_http import Files, StubStatus
from tidegate.config.parts import http_servers
from tidegate.process.errors import StartError, failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tidegate.config.model import Model
    from tidegate.config.model_http import Location

# Workers that may wait for the control process; more are told by the kernel to come again.
BACKLOG = 1024
FOLDER_MODE = 0o700
SOCKET_MODE = 0o600
NAME = "control.sock"
FOLDER = re.compile("tidegate-[0-9a-f]{16}")
# Between the making of a socket and its listening there are microseconds.
YOUNG_SECONDS = 60.0


class Site:
    """One folder with its socket, for workers and a control process of the same user."""

    def __init__(self, model: Model) -> None:
        """Make it; raises StartError."""
        parent = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 the name cannot be foreseen
        sweep(parent)
        self.folder = os.path.join(parent, f"tidegate-{os.urandom(8).hex()}")
        self.path = os.path.join(self.folder, NAME)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            os.mkdir(self.folder, FOLDER_MODE)
            self.socket.bind(self.path)
            os.chmod(self.path, SOCKET_MODE)
            owner = _owner(model)
            if owner is not None:
                os.chown(self.path, *owner)
                os.chown(self.folder, *owner)
            self.socket.listen(BACKLOG)
        except OSError as error:
            self.remove()
            what = f'bind() to "{self.path}"'
            # A path of more than 107 bytes has no number of the system's.
            what = failed(what, error) if error.errno else f"{what} failed ({error})"
            raise StartError(what, "TMPDIR may name another folder for it") from error

    def remove(self) -> None:
        """Close and remove it; a second call does nothing."""
        self.socket.close()
        clear(self.path)


def sweep(parent: str) -> None:
    """Remove what instances left there that were killed with all their processes."""
    with contextlib.suppress(OSError), os.scandir(parent) as folders:
        for folder in folders:
            path = os.path.join(folder.path, NAME)
            if FOLDER.fullmatch(folder.name) and _is_left(path):
                clear(path)


def _is_left(path: str) -> bool:
    """Whether nobody listens there, nor is about to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        try:
            if time.time() - os.stat(path).st_mtime < YOUNG_SECONDS:
                return False
            sock.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def clear(path: str) -> None:
    """Remove the socket of a site and its folder, as far as they are there."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(path))


def _owner(model: Model) -> tuple[int, int] | None:
    """Who the children will be, where they are others than we are; see `rights.restrict`."""
    if os.geteuid() != 0 or model.user is None or not model.master_process:
        return None
    try:
        entry = pwd.getpwnam(model.user)
        group = entry.pw_gid if model.group is None else grp.getgrnam(model.group).gr_gid
    except KeyError:
        return None  # the workers say so
    return entry.pw_uid, group


def has_content(model: Model) -> bool:
    """Whether any request may ask for content of our own."""
    return any(_is_local(location) for _named, location in _locations(model))


def has_written_content(model: Model) -> bool:
    """Whether a location has such content, and not only what is outside of all locations."""
    return any(_is_local(location) for named, location in _locations(model) if named)


def _is_local(location: Location) -> bool:
    return isinstance(location.content, Files | StubStatus)


def _locations(model: Model) -> Iterator[tuple[bool, Location]]:
    for server in http_servers(model):
        yield from ((True, location) for location in _nested(server.locations))
        yield not server.locations, server.outside


def _nested(locations: Iterable[Location]) -> Iterator[Location]:
    for location in locations:
        yield location
        yield from _nested(location.nested)
