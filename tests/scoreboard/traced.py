"""A forked process that is stepped, and may be killed after any instruction of it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TRACEME, SINGLESTEP = 0, 9
REFUSED = 77  # what a program ends with where nobody may trace a process
BEYOND = 40  # instructions after the mutex was given back

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long


def prepare() -> None:
    """Begin a program that traces others; ends it where that is not allowed."""
    # Both on one processor: a step is then a switch and not a message to another one.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    probe = os.fork()
    if not probe:
        os._exit(REFUSED if libc.ptrace(TRACEME, 0, None, None) else 0)
    if os.waitstatus_to_exitcode(os.waitpid(probe, 0)[1]) == REFUSED:
        sys.exit(REFUSED)


def kill_after(steps: int, act: Callable[[], object], mutex: int) -> bool:
    """Kill a fork `steps` instructions after its `act` took the mutex at that address.

    Tells whether the mutex had been given back long before.
    """
    held = ctypes.c_int.from_address(mutex)
    pid = _fork(act)
    while not held.value:
        _step(pid)
    beyond = 0
    for _ in range(steps):
        _step(pid)
        beyond += not held.value
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return beyond >= BEYOND


def _fork(act: Callable[[], object]) -> int:
    # Every instruction between the stop and the mutex is stepped too, so there are to be few.
    kill, myself = os.kill, os.getpid
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return pid
    try:
        libc.ptrace(TRACEME, 0, None, None)
        kill(myself(), 19)
        act()
    finally:
        os._exit(0)


def _step(pid: int) -> None:
    if libc.ptrace(SINGLESTEP, pid, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")
    _, status = os.waitpid(pid, 0)
    assert os.WIFSTOPPED(status), status
