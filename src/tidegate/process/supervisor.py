"""Child processes: started in numbered seats, watched, and replaced when they die.

A seat is one of the `worker_processes` that the configuration asks for. A slot is the child's place
on the scoreboard; a child that only serves its last sessions keeps its slot, while its seat is
another's already.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Protocol

from tidegate.config.model import Level
from tidegate.process.channel import Channel
from tidegate.process.errors import failed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tidegate.observe.error_log import ErrorLog
    from tidegate.process.channel import Message

WORKER = "worker"
COMMAND = (sys.executable, "-P", "-m", "tidegate.process.child", "--kind", WORKER)

# A worker that dies is replaced at once. One that dies again and again within seconds would only
# burn a processor: from the fourth time on it waits, twice as long each time.
SETTLED_SECONDS = 10.0
AT_ONCE = 3
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 8.0

# A process that ends closes its channel a moment before; one that closes it and lives on is of no
# use to anybody.
DEAF_SECONDS = 1.0


FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)


class Child:
    """One child process: a worker, or a control process.

    The owner keeps which generation of the configuration it was `asked` to prepare, is `ready` for,
    was `told` to serve and is `serving`; 0 is none.
    """

    def __init__(
        self, seat: int, slot: int, process: subprocess.Popen[bytes], channel: Channel
    ) -> None:
        self.seat = seat
        self.slot = slot
        self.pid = process.pid
        self.process = process
        self.channel = channel
        self.pidfd = os.pidfd_open(process.pid)
        self.leaving = False  # it serves its last sessions, and has no seat
        self.asked = self.ready = self.told = self.serving = 0
        self.left = 0  # it uses nothing of the generations up to this one


class Owner(Protocol):
    """Who wants to know of the children: the master."""

    def born(self, child: Child) -> None:
        """Welcome a child that was just started."""

    def heard(self, child: Child, message: Message) -> None:
        """Hear what a child says."""

    def died(self, child: Child) -> None:
        """Clear up after a child; it may be replaced after this returns."""

    def deserted(self) -> None:
        """Go on without children: the last one has ended after `retire`."""


class Supervisor:
    """Keeps one child in each seat until `retire`; `slots` is how many there may be at once.

    `kind` is what a child is called in the log.
    """

    def __init__(
        self,
        owner: Owner,
        *,
        slots: int,
        loop: asyncio.AbstractEventLoop,
        log: ErrorLog,
        environment: Mapping[str, str],
        command: Sequence[str] = COMMAND,
        kind: str = WORKER,
    ) -> None:
        self._slots = slots
        self._kind = kind
        self._owner = owner
        self._loop = loop
        self._log = log
        self.environment = environment
        self._command = tuple(command)
        self._children: dict[int, Child] = {}  # by slot
        self._births: dict[int, float] = {}
        self._deaths: dict[int, int] = {}
        self._pending: dict[int, asyncio.TimerHandle] = {}
        self._retired = False

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._children.values()))

    def __len__(self) -> int:
        return len(self._children)

    def start(self, seats: Iterable[int]) -> None:
        """Start a child in each of these seats; after `retire` none."""
        if self._retired:
            return
        if self._kind == WORKER:
            self._log.write(Level.NOTICE, "start worker processes")
        for seat in seats:
            self._start(seat)

    def dismiss(self, child: Child) -> None:
        """Take a child's seat: it may serve its last sessions, and is not replaced."""
        child.leaving = True

    def close(self, seat: int) -> None:
        """Nobody is to be started in this seat any more."""
        handle = self._pending.pop(seat, None)
        if handle is not None:
            handle.cancel()

    def retire(self) -> None:
        """Replace nobody any more; the owner is told when the last child is gone."""
        self._retired = True
        for handle in self._pending.values():
            handle.cancel()
        self._pending.clear()
        if not self._children:
            self._loop.call_soon(self._owner.deserted)

    def kill(self) -> None:
        """End all children at once."""
        for child in self:
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def _start(self, seat: int) -> None:
        self._pending.pop(seat, None)
        if self._retired:
            return
        self._births[seat] = self._loop.time()
        slot = next((slot for slot in range(self._slots) if slot not in self._children), None)
        if slot is None:
            self._log.write(Level.ALERT, f"no room for another {self._kind} beside {self._slots}")
            self._again(seat)
            return
        try:
            child = self._made(seat, slot)
        except OSError as error:
            self._log.write(Level.ALERT, failed(f"fork() while spawning a {self._kind}", error))
            self._again(seat)
            return
        self._children[slot] = child
        self._log.write(Level.NOTICE, f"start {self._kind} process {child.pid}")
        self._loop.add_reader(child.pidfd, self._reap, child)
        child.channel.attach(
            self._loop,
            lambda message: self._owner.heard(child, message),
            on_end=lambda _error: self._deaf(child),
        )
        try:
            self._owner.born(child)
        except OSError as error:
            # It would wait for ever, and its seat would be lost.
            what = failed(f"welcome to {self._kind} process {child.pid}", error)
            self._log.write(Level.ALERT, what)
            child.process.kill()

    def _made(self, seat: int, slot: int) -> Child:
        """A new process with its channel; raises OSError, and then there is none."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                process = self._spawn(theirs.fileno(), slot)
            try:
                return Child(seat, slot, process, Channel(ours, takes_descriptors=False))
            except OSError:
                process.kill()
                process.wait()
                raise
        except OSError:
            ours.close()
            raise

    def _spawn(self, channel: int, slot: int) -> subprocess.Popen[bytes]:
        # The child inherits the mask and opens it when it can act on signals: a Ctrl-C, which
        # reaches the whole process group, must not hit an interpreter that is just starting.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, FROM_TERMINAL)
        try:
            return subprocess.Popen(
                [*self._command, "--channel", str(channel), "--slot", str(slot)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[channel],
                env=dict(self.environment),
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _deaf(self, child: Child) -> None:
        """End a child that hears us no more, unless it ends by itself."""
        self._loop.call_later(DEAF_SECONDS, self._end, child)

    def _end(self, child: Child) -> None:
        if self._children.get(child.slot) is child:
            signal.pidfd_send_signal(child.pidfd, signal.SIGTERM)

    def _reap(self, child: Child) -> None:
        status = child.process.poll()
        if status is None:
            return
        self._loop.remove_reader(child.pidfd)
        os.close(child.pidfd)
        child.channel.close()
        del self._children[child.slot]
        self._report(child.pid, status)
        self._owner.died(child)
        if not self._retired and not child.leaving:
            self._again(child.seat)
        elif self._retired and not self._children:
            self._owner.deserted()

    def _report(self, pid: int, status: int) -> None:
        if status < 0:
            self._log.write(Level.ALERT, f"{self._kind} process {pid} exited on signal {-status}")
        else:
            level = Level.NOTICE if status == 0 else Level.ALERT
            self._log.write(level, f"{self._kind} process {pid} exited with code {status}")

    def _again(self, seat: int) -> None:
        lived = self._loop.time() - self._births.get(seat, 0.0)
        deaths = 1 if lived >= SETTLED_SECONDS else self._deaths.get(seat, 0) + 1
        self._deaths[seat] = deaths
        pause = pause_before(deaths)
        if pause == 0:
            self._start(seat)
            return
        self._log.write(
            Level.ALERT,
            f"a {self._kind} process died {deaths} times in a row, the next one starts in "
            f"{pause:g} s",
        )
        self._pending[seat] = self._loop.call_later(pause, self._start, seat)


def pause_before(deaths: int) -> float:
    """Seconds to wait before a worker is replaced that has died `deaths` times in a row."""
    if deaths <= AT_ONCE:
        return 0.0
    return min(FIRST_PAUSE_SECONDS * 2.0 ** (deaths - AT_ONCE - 1), LONGEST_PAUSE_SECONDS)


def environment_of(env: Sequence[tuple[str, str | None]], own: Mapping[str, str]) -> dict[str, str]:
    """Choose what the workers get of the master's environment `own`: by nginx's rule.

    That is TZ and what the `env` rows name; and what the interpreter needs to find its modules.
    """
    kept = {
        name: value
        for name, value in own.items()
        if name in {"TZ", "LD_LIBRARY_PATH"} or name.startswith("PYTHON")
    }
    for name, value in env:
        if value is not None:
            kept[name] = value
        elif name in own:
            kept[name] = own[name]
    return kept
