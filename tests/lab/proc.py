"""What /proc tells of the programs under test, without making a connection that they would see."""

import contextlib
import os
import re

from lab import listening

LISTEN = "0A"  # the state's number in /proc/net/tcp


def listening_inodes(port, *, pid="self") -> set[str]:
    """Inodes of the TCP sockets that listen on `port`, in the network namespace of `pid`."""
    if listening.same_network(pid):
        with contextlib.suppress(OSError):
            return listening.inodes(port)
    return {
        fields[9]
        for fields in _sockets(pid)
        if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port
    }


def unix_listening_inodes(path, *, pid="self") -> set[str]:
    """Inodes of the stream sockets on the Unix socket `path`, in the network of `pid`."""
    accepting = 0x10000  # __SO_ACCEPTCON in the flags
    found = set()
    with open(f"/proc/{pid}/net/unix", encoding="utf-8", errors="replace") as table:
        for line in list(table)[1:]:
            fields = line.split()
            if len(fields) == 8 and fields[7] == path and int(fields[3], 16) & accepting:
                found.add(fields[6])
    return found


def accepts(pid, inodes) -> bool:
    """Whether the process has one of these sockets in an epoll set, ready to accept."""
    opened = descriptors(pid)
    ours = {fd for fd, target in opened.items() if target[8:-1] in inodes}
    for fd, target in opened.items():
        if target == "anon_inode:[eventpoll]" and ours & _watched(pid, fd):
            return True
    return False


def served_by(pids, port) -> dict[int, int]:
    """Which of the processes holds the session of each client port, for clients of `port`."""
    clients = {}
    for fields in _sockets("self"):
        local, remote = (int(end.rpartition(":")[2], 16) for end in fields[1:3])
        if local == port and fields[3] != LISTEN:
            clients[f"socket:[{fields[9]}]"] = remote
    held = {pid: descriptors(pid).values() for pid in pids}
    return {clients[link]: pid for pid, links in held.items() for link in links if link in clients}


def descriptors(pid) -> dict[int, str]:
    """What each open descriptor of a process is."""
    found = {}
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
            except FileNotFoundError:
                continue
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return found


def children(pid) -> list[int]:
    """Pids of the living children of a process, oldest first."""
    found = _born_of(pid)
    # One that ends while the kernel writes the list may hide another: two lists have to agree.
    while found != (again := _born_of(pid)):
        found = again
    return [child for child in found if alive(child)]


def _born_of(pid) -> list[int]:
    """Pids of a process's children as its threads have them, also those that have ended.

    To look through all processes instead would cost as much as the programs that are waited for.
    """
    lists = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                lists += file.read().split()
    return sorted(map(int, lists))


def command(pid) -> str:
    """A process's command line with spaces, empty when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def private_kib(pid) -> int:
    """Memory that is the process's alone, in KiB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        sizes = re.findall(r"^Private_\w+:\s+(\d+) kB", file.read(), re.MULTILINE)
    return sum(map(int, sizes))


def own_kib(pid) -> int:
    """What the process has written to of that, in KiB: to be compared with what it was before.

    The rest is the process's alone only as long as no other maps the same files.
    """
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        sizes = re.findall(r"^Private_Dirty:\s+(\d+) kB", file.read(), re.MULTILINE)
    return sum(map(int, sizes))


def alive(pid) -> bool:
    """Whether the process runs (a zombie does not)."""
    return _state(pid) not in "ZX"


def waits(pid) -> bool:
    """Whether the process has done all that it had to do, and waits for more."""
    return _state(pid) == "S"


def _state(pid) -> str:
    """One letter, as proc(5) explains it; X for a process that is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def _sockets(pid):
    """The rows of the kernel's tables of TCP sockets; none for a process that is gone."""
    for name in ("tcp", "tcp6"):
        with (
            contextlib.suppress(FileNotFoundError, ProcessLookupError),
            open(f"/proc/{pid}/net/{name}", encoding="ascii") as table,
        ):
            next(table)
            yield from map(str.split, table)


def _watched(pid, epoll) -> set[int]:
    try:
        with open(f"/proc/{pid}/fdinfo/{epoll}", encoding="ascii") as file:
            return {int(fd) for fd in re.findall(r"^tfd:\s+(\d+)", file.read(), re.MULTILINE)}
    except (FileNotFoundError, ProcessLookupError):
        return set()


def carrying(mark) -> list[int]:
    """Pids of the living processes whose environment has `mark`, handed down from a parent."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark.encode() in file.read() and alive(pid):
                    found.append(pid)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found
