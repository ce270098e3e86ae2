"""A folder as a page, as nginx's autoindex module writes it."""

from __future__ import annotations

import os
import time
from html import escape
from typing import NamedTuple
from urllib.parse import quote

# Bytes of a name that are shown.
WIDTH = 50


class Entry(NamedTuple):
    """One line; to sort entries is to have folders first, then by name."""

    file: bool
    name: str
    size: int
    changed: float


def listing(path: str, uri: str) -> bytes:
    """The page of a folder, whose URI ends with a slash; raises OSError."""
    title = f"Index of {escape(uri)}"
    head = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<h1>{title}</h1><hr><pre>"
    lines = [_line(entry) for entry in sorted(_entries(path))]
    end = "</pre><hr></body>\r\n</html>\r\n"
    return "\r\n".join((f'{head}<a href="../">../</a>', *lines, end)).encode(
        "utf-8", "surrogateescape"
    )


def _entries(path: str) -> list[Entry]:
    found = []
    with os.scandir(path) as folder:
        for one in folder:
            if one.name.startswith("."):
                continue
            try:
                status = one.stat()
            except OSError:
                # A link to nowhere is shown as what it is.
                status = one.stat(follow_symlinks=False)
            found.append(Entry(not one.is_dir(), one.name, status.st_size, status.st_mtime))
    return found


def _line(entry: Entry) -> str:
    slash = "" if entry.file else "/"
    href = quote(entry.name, safe="", errors="surrogateescape") + slash
    name = os.fsencode(entry.name)
    if len(name) > WIDTH:
        shown, pad = f"{escape(os.fsdecode(name[: WIDTH - 3]))}..&gt;", 0
    else:
        name = (name + slash.encode())[:WIDTH]
        shown, pad = escape(os.fsdecode(name)), WIDTH - len(name)
    changed = time.strftime("%d-%b-%Y %H:%M", time.gmtime(entry.changed))
    size = str(entry.size) if entry.file else "-"
    return f'<a href="{href}">{shown}</a>{" " * pad} {changed} {size:>19}'
