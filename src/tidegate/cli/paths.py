"""Where things are when nobody says so: for root where a service has them, else in the home."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tidegate.dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Absolute paths: what a relative name is relative to, and four files."""

    prefix: str
    conf: str
    pid: str
    error_log: str
    access_log: str


def paths(
    *, prefix: str | None = None, uid: int | None = None, environ: Mapping[str, str] = os.environ
) -> Paths:
    """The paths of the user `uid` (ourselves); an explicit `prefix` has nginx's layout in it."""
    if prefix is not None:
        return _laid_out_as_nginx(os.path.abspath(prefix))
    if (os.geteuid() if uid is None else uid) == 0:
        return Paths(
            prefix="/var/lib/tidegate",
            conf="/etc/tidegate/tidegate.conf",
            pid="/run/tidegate.pid",
            error_log="/var/log/tidegate/error.log",
            access_log="/var/log/tidegate/access.log",
        )
    home = environ.get("HOME") or os.path.expanduser("~")
    state = os.path.join(environ.get("XDG_STATE_HOME") or f"{home}/.local/state", "tidegate")
    config = os.path.join(environ.get("XDG_CONFIG_HOME") or f"{home}/.config", "tidegate")
    runtime = environ.get("XDG_RUNTIME_DIR") or state
    return Paths(
        prefix=state,
        conf=f"{config}/tidegate.conf",
        pid=f"{runtime}/tidegate.pid",
        error_log=f"{state}/error.log",
        access_log=f"{state}/access.log",
    )


def _laid_out_as_nginx(prefix: str) -> Paths:
    return Paths(
        prefix=prefix,
        conf=f"{prefix}/conf/tidegate.conf",
        pid=f"{prefix}/logs/tidegate.pid",
        error_log=f"{prefix}/logs/error.log",
        access_log=f"{prefix}/logs/access.log",
    )


def make_room(path: str) -> None:
    """Make the folder of a default file, for its owner alone; one that cannot be made shows later.

    Folders of files that somebody named are his business, as in nginx.
    """
    folder = os.path.dirname(path)
    mode = 0o755 if os.geteuid() == 0 else 0o700
    try:
        os.makedirs(folder, mode=mode, exist_ok=True)
    except OSError:
        return
