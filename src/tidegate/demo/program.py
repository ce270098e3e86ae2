"""A program that the demo runs: started, its lines read, and surely ended."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

END_WITHIN = 5.0  # seconds between asking a program to end and ending it
PR_SET_PDEATHSIG = 1
LAST_LINES = 12  # of a program that could not be started

_libc = ctypes.CDLL(None)


class StartError(Exception):
    """A program ended before it was ready; the text is what it said."""


class Program:
    """One running program in a session of its own: Ctrl-C reaches the demo alone."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        output: asyncio.StreamReader,
        line: Callable[[str], None],
    ) -> None:
        self.pid = process.pid
        self.said: list[str] = []
        self._line = line
        self._process = process
        self._over = False  # then its number may be another's
        self._reader = asyncio.create_task(self._read(output))

    @classmethod
    async def start(cls, argv: Sequence[str], line: Callable[[str], None]) -> Program:
        """Start `argv`; `line` is called with each line that it prints."""
        # With a pipe of asyncio's own, `wait` returns only when all that the program started has
        # let go of it.
        output, theirs = await _pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=theirs,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_us,
            )
        finally:
            os.close(theirs)
        return cls(process, output, line)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Wait for its end, and end what it left behind; returns the exit code."""
        code = await self._process.wait()
        self._signal_all(signal.SIGTERM)
        await asyncio.wait([self._reader], timeout=END_WITHIN)
        self._signal_all(signal.SIGKILL)
        self._over = True
        await self._reader
        return code

    async def ready(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; raises `StartError` when the program ends before."""
        while not condition():
            if not self.running:
                await self.wait()
                raise StartError("\n".join(self.said[-LAST_LINES:]) or "it said nothing")
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End it and all that it started."""
        if self._over:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), END_WITHIN)
        self._signal_all(signal.SIGKILL)
        self._over = True
        await self._process.wait()
        await self._reader

    def _signal_all(self, number: signal.Signals) -> None:
        """Signal it and what it started: all of its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def _read(self, output: asyncio.StreamReader) -> None:
        async for line in output:
            text = line.decode(errors="replace").rstrip()
            self.said.append(text)
            del self.said[:-LAST_LINES]
            self._line(text)


async def _pipe() -> tuple[asyncio.StreamReader, int]:
    """A new pipe: our end of it, and the descriptor to write to."""
    ours, theirs = os.pipe()
    output = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(output), os.fdopen(ours, "rb", buffering=0)
    )
    return output, theirs


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def listening(port: int) -> bool:
    """Whether somebody listens on a loopback port, found out without connecting to it."""
    wanted, listen = f":{port:04X}", "0A"
    with open("/proc/net/tcp", encoding="ascii") as table:
        next(table)
        for line in table:
            fields = line.split()
            if fields[3] != listen:
                break  # those that listen come first, before what may be thousands
            if fields[1].endswith(wanted):
                return True
    return False


def _end_with_us() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
