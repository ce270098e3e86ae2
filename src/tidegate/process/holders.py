"""Who holds a port or a socket path: looked up in /proc when binding to it has failed."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidegate.wire.address import Address

LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp


def holder_of(address: Address) -> tuple[int, str] | None:
    """Process number and name of who listens there, as far as we may see it."""
    inodes = set(_inodes(address))
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and _holds(entry, wanted):
            return int(entry), _name(entry)
    return None


def _inodes(address: Address) -> Iterator[str]:
    if address.family == socket.AF_UNIX:
        for fields in _table("/proc/net/unix"):
            if fields[-1] == address.host:
                yield fields[6]
        return
    port = f"{address.port:04X}"
    # An IPv6 wildcard may hold the IPv4 port too.
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for fields in _table(table):
            if fields[3] == LISTENING and fields[1].rpartition(":")[2] == port:
                yield fields[9]


def _table(path: str) -> Iterator[list[str]]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            next(file, None)
            for line in file:
                yield line.split()
    except OSError:
        return


def _holds(pid: str, wanted: set[str]) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        return any(_link(f"{folder}/{fd}") in wanted for fd in os.listdir(folder))
    except OSError:
        return False


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _name(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"
