"""Going into the background, with the caller waiting until the start has succeeded or failed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

READY = b"+"


def in_background(run: Callable[[Callable[[], None]], int]) -> int:
    """Call `run(ready)` in a process of its own session, and return as soon as it is ready.

    `ready` lets go of the terminal. Returns 0 for the caller's process once `ready` was called; 1
    if the other one ended before. What goes wrong until then is said on the caller's terminal.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    listening, telling = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(listening)
        _stay(run, telling)
    os.close(telling)
    try:
        started = os.read(listening, 1) == READY
    except KeyboardInterrupt:
        os.kill(pid, signal.SIGTERM)
        started = False
    if not started:
        os.waitpid(pid, 0)
    return 0 if started else 1


def _stay(run: Callable[[Callable[[], None]], int], telling: int) -> None:
    """Be the other process; never returns."""
    status = 1
    try:
        os.setsid()

        def ready() -> None:
            _let_go()
            # Whoever started us may have gone; what is started goes on.
            with contextlib.suppress(BrokenPipeError):
                os.write(telling, READY)
            os.close(telling)

        status = run(ready)
    except KeyboardInterrupt:
        pass
    except BaseException:  # noqa: BLE001 the last frame of this process: the caller's must not run on here
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def _let_go() -> None:
    """Lead standard input and output nowhere; stderr is `run`'s affair."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
