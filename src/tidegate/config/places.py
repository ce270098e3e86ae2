"""Whether the files that a configuration writes to can be opened: what `-t` checks at the end."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from tidegate.config import parts
from tidegate.config.diagnostics import Problem
from tidegate.config.model import Level
from tidegate.dataclasses import replace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tidegate.config.load import Loaded
    from tidegate.config.model import Model


def with_places_tried(loaded: Loaded, *, made: Collection[str] = ()) -> Loaded:
    """`loaded` with nginx's error for the first file that could not be opened.

    nginx opens, and so makes, its log and pid files in a test. Here nothing is made. `made` are
    files whose folders a start would make.
    """
    if loaded.model is None:
        return loaded
    for path in _written(loaded.model):
        error = _obstacle(path, makes_folder=path in made)
        if error:
            message = f'open() "{path}" failed ({error}: {os.strerror(error)})'
            problem = Problem(
                severity=Level.EMERG, message=message, span=None, hint=_mend(error), late=True
            )
            return replace(loaded, model=None, problems=(*loaded.problems, problem))
    return loaded


def _written(model: Model) -> Iterator[str]:
    yield model.pid
    paths = [log.path for log in parts.error_logs(model) if log.syslog is None]
    yield from dict.fromkeys(path for path in paths if path is not None)
    # Those with variables in their path are opened by the workers, when there is a line.
    access = [log for log in parts.access_logs(model) if log.name is None and log.syslog is None]
    yield from dict.fromkeys(log.path for log in access)


def _obstacle(path: str, *, makes_folder: bool) -> int:
    """The errno with which opening `path` for writing would fail; 0 if it would not."""
    if os.path.isdir(path):
        return errno.EISDIR
    if os.path.exists(path):
        return 0 if os.access(path, os.W_OK, effective_ids=True) else errno.EACCES
    folder = os.path.dirname(path)
    while makes_folder and not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        return errno.ENOTDIR if os.path.exists(folder) else errno.ENOENT
    return 0 if os.access(folder, os.W_OK | os.X_OK, effective_ids=True) else errno.EACCES


def _mend(error: int) -> str | None:
    if error == errno.ENOENT:
        return "the folder is not there; make it first"
    if error == errno.EACCES:
        return "this user may not write there"
    return None
