"""What /proc tells: CPU time and memory of a proxy's processes, and what machine this is."""

from __future__ import annotations

import os
import platform
import re
import time

# Less CPU time than this in a twentieth of a second is rest.
REST_NS = 1_000_000


def tree(pid: int) -> list[int]:
    """A process and all its descendants; those that are gone are left out."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(name))
    found, left = [], [pid]
    while left:
        one = left.pop()
        found.append(one)
        left += children.get(one, [])
    return found


def alive(pid: int) -> bool:
    """Whether a process runs: not one that has ended and waits for its parent to look."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def cpu_ns(pids: list[int]) -> int:
    """CPU time of all threads of these processes so far, in nanoseconds."""
    total = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    return total


def private_bytes(pids: list[int]) -> int:
    """Memory that is each process's alone."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            sizes = re.findall(r"^Private_\w+:\s+(\d+) kB", file.read(), re.MULTILINE)
        total += sum(map(int, sizes)) * 1024
    return total


def wait_quiet(pids: list[int], *, seconds: float = 5.0) -> None:
    """Wait until these processes have finished what they still had to do."""
    end = time.monotonic() + seconds
    before = cpu_ns(pids)
    while time.monotonic() < end:
        time.sleep(0.05)
        now = cpu_ns(pids)
        if now - before < REST_NS:
            return
        before = now


def describe() -> dict[str, object]:
    """The machine, in general terms."""
    return {
        "kernel": platform.release().split("-", 1)[0],
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    return found[1] if found else "unknown"
