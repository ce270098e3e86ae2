"""The master's half of content of our own: sites, and a control process at each.

The newest one resolves names, too, where the configuration has such; what they mean is in `names`.

There is one site, and for a while two where a reload gives the workers other rights: those that
serve their last sessions go on with the former.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tidegate.balance.placement import Placement, Places
from tidegate.config.model import Level
from tidegate.config.model_names import questions
from tidegate.dataclasses import replace
from tidegate.process import handover
from tidegate.process.handover import Handover
from tidegate.process.site import Site, has_content, has_written_content
from tidegate.process.supervisor import Supervisor, environment_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tidegate.config.model import Model
    from tidegate.observe.error_log import ErrorLog
    from tidegate.process.channel import Message
    from tidegate.process.names import Names
    from tidegate.process.supervisor import Child
    from tidegate.scoreboard.board import Board

CONTROL = "control"
NOWHERE = Placement(generation=0, upstreams=Places(), peers=Places())
COMMAND = (sys.executable, "-P", "-m", "tidegate.process.control_process", "--kind", CONTROL)

# What a control process cannot take on while it runs: another takes its place.
FIXED = ("user", "group", "env", "worker_priority", "worker_rlimit_nofile", "master_process")
# Sites at the same time: each but the newest waits for workers to end.
SITES = 64
LEAVE_SECONDS = 1.0


class LocalContent:
    """Sites by number, of which the last is the one for new workers.

    `logs` gives the open log files by path, `stderr` what is to take the place of stderr.
    """

    def __init__(
        self,
        *,
        board: Board,
        loop: asyncio.AbstractEventLoop,
        log: ErrorLog,
        names: Names,
        logs: Callable[[], Mapping[str, int]],
        stderr: Callable[[], Mapping[str, int]],
    ) -> None:
        self._board = board
        self._loop = loop
        self._log = log
        self._names = names
        names.ask = self._give_names
        self._logs = logs
        self._stderr = stderr
        self._sites: dict[int, Site] = {}
        self._models: dict[int, Model] = {}
        self._stale: set[int] = set()
        self._waiting: set[int] = set()  # for a first worker to ask
        self._made = 0
        self._deserted: Callable[[], None] | None = None
        self._supervisor = Supervisor(
            self,
            slots=SITES,
            loop=loop,
            log=log,
            environment=dict(os.environ),
            command=COMMAND,
            kind=CONTROL,
        )

    def __iter__(self) -> Iterator[Child]:
        return iter(self._supervisor)

    # Configurations.

    def path_for(self, model: Model) -> str:
        """Where workers of `model` find its content, "" without any; raises StartError.

        A control process is started there if the configuration speaks of content, or has names to
        resolve, else when the first worker asks: most clients of a server that only passes on never
        do.
        """
        if not _needs_site(model):
            return ""
        number = self._number_for(model)
        if number is None:
            number = self._made = self._made + 1
            self._sites[number] = Site(model)
            self._models[number] = model
            self._waiting.add(number)
            self._loop.add_reader(self._sites[number].socket, self._start, number)
        if number in self._waiting and (has_written_content(model) or questions(model)):
            self._start(number)
        return self._sites[number].path if has_content(model) else ""

    def settle(self, model: Model, leaving: Iterable[Child]) -> None:
        """`model` is the one in force: its control process goes by it, others are not needed.

        Those go on as long as workers are leaving.
        """
        now = self._number_for(model) if _needs_site(model) else None
        self._stale = self._sites.keys() - {now}
        if now is not None and self._models[now] is not model:
            self._models[now] = model
            for child in self._supervisor:
                if child.seat == now:
                    self._tell(child, "settings", {})
        self.spare(leaving)

    def spare(self, workers: Iterable[Child]) -> None:
        """Close the sites that nobody uses any more."""
        if any(worker.leaving for worker in workers):
            return
        for number in self._stale:
            self._close(number)
        if self._stale:
            self._stale = set()
            self._give_names()

    def _number_for(self, model: Model) -> int | None:
        """The site that a configuration can go on with."""
        for number, other in self._models.items():
            if all(getattr(other, name) == getattr(model, name) for name in FIXED):
                return number
        return None

    def _start(self, number: int) -> None:
        self._loop.remove_reader(self._sites[number].socket)
        self._waiting.discard(number)
        environment = environment_of(self._models[number].env, os.environ)
        self._supervisor.environment = environment
        self._supervisor.start([number])

    def _close(self, number: int) -> None:
        site = self._sites.pop(number)
        del self._models[number]
        if number in self._waiting:
            self._waiting.discard(number)
            self._loop.remove_reader(site.socket)
        site.remove()
        self._supervisor.close(number)
        for child in self._supervisor:
            if child.seat == number:
                self._supervisor.dismiss(child)
                child.channel.send("quit")

    # What the supervisor tells us.

    def born(self, child: Child) -> None:
        """Send everything that a control process needs."""
        site = self._sites[child.seat]
        fds = {"board": self._board.fd, "socket": site.socket.fileno()}
        names = self._orders(child)
        try:
            self._tell(child, "welcome", fds | names, path=site.path)
        finally:
            for fd in names.values():
                os.close(fd)

    def heard(self, child: Child, message: Message) -> None:
        """Hear that it serves, or why it does not."""
        if message.kind == "serving":
            child.serving = 1
            return
        if message.kind == "name":
            self._names_heard(child, message)
            return
        self._log.write(
            Level.ALERT,
            f"control process {child.pid}: {message.body.get('message', message.kind)}",
        )

    def died(self, child: Child) -> None:
        """Nothing is held for it: the socket is ours."""

    def deserted(self) -> None:
        """The last one has ended."""
        if self._deserted is not None:
            self._deserted()

    def _names_heard(self, child: Child, message: Message) -> None:
        try:
            self._names.heard(message.body)
        except (TypeError, ValueError) as error:
            what = f"control process {child.pid} says what is no answer ({error})"
            self._log.write(Level.ALERT, what)

    def _give_names(self) -> None:
        """Let the newest control process know which names there are now."""
        for child in self._supervisor:
            names = self._orders(child)
            child.channel.send("names", fds=names)
            for fd in names.values():
                os.close(fd)

    def _orders(self, child: Child) -> dict[str, int]:
        """What a child is to resolve: all names, or none."""
        orders = self._names.orders() if child.seat == max(self._sites, default=0) else None
        return {} if orders is None else {"names": orders}

    def _tell(self, child: Child, kind: str, fds: Mapping[str, int], **body: object) -> None:
        model = self._models[child.seat]
        # What it has no use for, keys of certificates above all, stays here.
        model = replace(model, stream=None, http=None)
        paths = {log.path for log in model.error_logs if log.path is not None}
        logs = {f"log:{path}": fd for path, fd in self._logs().items() if path in paths}
        sealed = handover.seal(Handover(generation=0, model=model, placement=NOWHERE))
        child.channel.send(
            kind, fds={"model": sealed} | logs | dict(fds) | dict(self._stderr()), **body
        )
        os.close(sealed)

    # The end.

    def reopen(self, fds: Mapping[str, int]) -> None:
        """Logs have been opened anew."""
        for child in self._supervisor:
            child.channel.send("reopen", fds=fds)

    def retire(self, deserted: Callable[[], None]) -> None:
        """Nobody asks any more: end all, then call `deserted`."""
        self._deserted = deserted
        for child in self._supervisor:
            child.channel.send("terminate")
        self._supervisor.retire()
        self._loop.call_later(LEAVE_SECONDS, self._supervisor.kill)

    def kill(self) -> None:
        """End all at once."""
        self._supervisor.kill()

    def close(self) -> None:
        """Remove what is there."""
        self._supervisor.kill()
        for number in list(self._sites):
            if number in self._waiting:
                self._loop.remove_reader(self._sites[number].socket)
            self._sites[number].remove()
        self._sites.clear()


def _needs_site(model: Model) -> bool:
    """Whether there is anything to do for a control process."""
    return has_content(model) or bool(questions(model))
