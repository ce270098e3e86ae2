"""Configurations on their way into force: prepared by every worker, then committed by all or none.

`Generations` keeps the one in force and the `Rollout` under way, if there is one. It hears what the
workers say, and tells them.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING

from tidegate.balance.placement import allot
from tidegate.config.model import Level
from tidegate.config.parts import learned, limit_conn_zones, listens
from tidegate.process import handover
from tidegate.process.aside import aside
from tidegate.process.caches import Caches
from tidegate.process.changes import changes
from tidegate.process.errors import StartError
from tidegate.process.handover import Handover
from tidegate.process.logs import paths_of
from tidegate.process.rollout import Generation, Opened, Rollout
from tidegate.process.supervisor import environment_of
from tidegate.process.tables import Tables
from tidegate.process.zones import Zones

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.balance.placement import Placement
    from tidegate.config.model import Model
    from tidegate.observe.error_log import ErrorLog
    from tidegate.process.channel import Message
    from tidegate.process.local_content import LocalContent
    from tidegate.process.openings import Openings
    from tidegate.process.supervisor import Child, Supervisor
    from tidegate.process.tickets import Tickets
    from tidegate.scoreboard.board import Board

# A worker is ready within half a second; a machine that swaps may take longer.
START_SECONDS = 60.0

# So long may a worker take to prepare a new configuration, or to change over to it.
CHANGE_SECONDS = 15.0

# What workers cannot take on while they run: others take their place.
FIXED = ("user", "group", "env", "worker_priority", "worker_rlimit_nofile", "transparent")


class Generations:
    """The generation in force, and the one that is to follow it.

    `model` is of the one in force; at first, of the one to come. `told` says what the last change
    was, `failure` why there is no first one. `first` is called when every worker serves that.
    `detached` says that a log takes the place of stderr. `supervisor` and `local` are to be set
    before anything is called; with `stopping` nothing is begun any more.
    """

    supervisor: Supervisor
    local: LocalContent

    def __init__(
        self,
        model: Model,
        *,
        board: Board,
        openings: Openings,
        tickets: Tickets,
        log: ErrorLog,
        first: Callable[[], None],
        detached: bool,
    ) -> None:
        self.model = model
        self.current: Generation | None = None
        self.rollout: Rollout | None = None
        self.failure: StartError | None = None
        self.told = ""
        self.stopping = False
        self._former: Generation | None = None
        self._placement: Placement | None = None
        self._last = 0  # number given to a generation, in force or not
        self._board = board
        self._openings = openings
        self._tickets = tickets
        self._log = log
        self._first = first
        self._detached = detached

    def begin(self, tables: Tables) -> None:
        """Put the first one in force."""
        self.put(self.model, Opened(sockets=[], logs=[]), tables)

    async def tables_for(self, model: Model) -> Tables:
        """The tables that a model to come has, with what they know; raises StartError.

        They may be large, and the disk slow.
        """
        former = Tables() if self.current is None else self.current.tables
        return await aside(partial(former.followed_by, learned(model), tell=self._log.write))

    def put(self, model: Model, opened: Opened, tables: Tables) -> asyncio.Future[str | None]:
        """Put a model in force, for which these were made; the future gets what went wrong.

        Raises StartError, ValueError or OSError where that cannot even begin.
        """
        generation = self._next(model, tables)
        self._last = generation.number
        finished: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        try:
            self._roll(generation, opened, finished)
        except (StartError, ValueError, OSError) as error:
            if self.current is None or self.rollout is None:
                raise
            self._withdraw(self.rollout, str(error))
        return finished

    def close(self) -> None:
        """Let go of what is held for workers to come."""
        if self.current is not None:
            os.close(self.current.handover)
        if self.rollout is not None and self.rollout.generation is not self.current:
            os.close(self.rollout.generation.handover)

    # What is heard of the workers.

    def born(self, child: Child) -> None:
        """Send everything that a worker needs before its first connection."""
        generation = self._for(child)
        child.left = generation.number - 1
        child.channel.send(
            "welcome",
            fds={"board": self._board.fd},
            connections=generation.model.worker_connections,
        )
        self._prepare(child, generation)

    def heard(self, child: Child, message: Message) -> None:
        """Go on with what is being put in force, or note what went wrong."""
        number = message.body.get("generation")
        if message.kind == "ready":
            child.ready = int(str(number))
            self._go_on(child)
        elif message.kind == "committed":
            child.serving = int(str(number))
            self._go_on(child)
        elif message.kind == "error":
            self._failed(f"worker process {child.pid}: {message.body.get('message')}", number)
        elif message.kind == "left":
            child.left = int(str(number))
            self._retire()
        else:
            self._log.write(Level.ALERT, f"worker process {child.pid} says {message.kind!r}")

    def _retire(self) -> None:
        """Places that no worker uses any more may be given again."""
        if self._placement is not None:
            left = min(child.left for child in self.supervisor)
            self._placement = self._placement.retire(left)

    def died(self, child: Child) -> None:
        """Take back what it held; what was not complete without it has failed."""
        self._board.forget_worker(child.slot)
        rollout = self.rollout
        for generation in (self.current, None if rollout is None else rollout.generation):
            for name in [] if generation is None else generation.zones.forget_worker(child.slot):
                what = (
                    f'the connections of worker process {child.pid} stay counted in zone "{name}"'
                )
                self._log.write(Level.ALERT, f"{what}: its lock was not to be had")
        self.local.spare(self.supervisor)
        if rollout is None or self.stopping:
            return
        number = rollout.generation.number
        if child in rollout.outgoing:
            # Another has its seat, or is about to.
            child.leaving = True
        elif child.asked == number != child.ready and not rollout.committed:
            self._failed(f"worker process {child.pid} ended before it could serve", number)
        elif rollout.committed:
            asyncio.get_running_loop().call_soon(self._check_serving)

    # The way into force.

    def _next(self, model: Model, tables: Tables) -> Generation:
        """The next generation, of this model."""
        # Never a number again: an answer to one that failed would count for its successor.
        number = self._last + 1
        placement = allot(model, self._board, self._placement, generation=number)
        zones = Zones() if self.current is None else self.current.zones
        zones = zones.followed_by(limit_conn_zones(model))
        caches = Caches() if self.current is None else self.current.caches
        caches = caches.followed_by(model.stream, model.http)
        sealed = handover.seal(
            Handover(
                generation=number,
                model=model,
                placement=placement.in_use,
                local=self.local.path_for(model),
            )
        )
        return Generation(
            number=number,
            model=model,
            placement=placement,
            handover=sealed,
            zones=zones,
            caches=caches,
            tables=tables,
        )

    def _roll(
        self, generation: Generation, opened: Opened, finished: asyncio.Future[str | None]
    ) -> None:
        """Begin to put it in force; `finished` gets None, or what went wrong."""
        old = self.current
        replaces = old is not None and any(
            getattr(old.model, name) != getattr(generation.model, name) for name in FIXED
        )
        outgoing = list(self.supervisor) if replaces else []
        rollout = Rollout(generation, opened, outgoing=outgoing, finished=finished)
        self.rollout = rollout
        if replaces:
            self.supervisor.environment = environment_of(generation.model.env, os.environ)
        taken = {child.seat for child in self.supervisor if rollout.takes(child)}
        for child in self.supervisor:
            if rollout.takes(child):
                self._prepare(child, generation)
        empty = [seat for seat in range(generation.seats) if seat not in taken]
        if empty:
            self.supervisor.start(empty)
        patience = START_SECONDS if old is None else CHANGE_SECONDS
        late = finished.get_loop().call_later(patience, self._late, rollout)
        # Or it would hold the model for that long, and many of them where reloads are many.
        finished.add_done_callback(lambda _finished: late.cancel())

    def _for(self, child: Child) -> Generation:
        """The generation that a new child is to serve."""
        rollout = self.rollout
        if rollout is not None and rollout.takes(child):
            return rollout.generation
        assert self.current is not None
        return self.current

    def _prepare(self, child: Child, generation: Generation) -> None:
        child.asked = generation.number
        sockets = self._openings.sockets.for_seat(
            child.seat, listens(generation.model), seats=generation.seats
        )
        logs = {path: self._openings.logs.fds[path] for path in set(paths_of(generation.model))}
        tickets = self._tickets.sealed()
        try:
            child.channel.send(
                "prepare",
                fds={"model": generation.handover, "tickets": tickets}
                | {f"log:{path}": fd for path, fd in logs.items()}
                | {f"zone:{name}": fd for name, fd in generation.zones.fds.items()}
                | {f"cache:{name}": fd for name, fd in generation.caches.fds.items()}
                | {f"table:{name}": fd for name, fd in generation.tables.fds.items()}
                | {f"socket:{key}": fd for key, fd in sockets.items()},
                generation=generation.number,
            )
        finally:
            os.close(tickets)

    def _go_on(self, child: Child) -> None:
        """A child has prepared, or has committed."""
        rollout, current = self.rollout, self.current
        if rollout is not None and not rollout.committed and rollout.takes(child):
            if rollout.ready(self.supervisor):
                self._commit(rollout)
        elif current is not None and child.ready == current.number and child.told != child.ready:
            self._tell(child, current)
        self._check_serving()

    def _commit(self, rollout: Rollout) -> None:
        """All are ready: from here on the new generation is the one in force."""
        rollout.committed = True
        self._former, self.current = self.current, rollout.generation
        self._placement = rollout.generation.placement
        self.model = rollout.generation.model
        for child in self.supervisor:
            if rollout.takes(child) and child.ready == rollout.generation.number:
                self._tell(child, rollout.generation)

    def _tell(self, child: Child, generation: Generation) -> None:
        child.told = generation.number
        child.channel.send("commit", fds=self.stderr(), generation=generation.number)

    def _check_serving(self) -> None:
        rollout = self.rollout
        if rollout is not None and rollout.committed and rollout.serving(self.supervisor):
            self._finish(rollout)

    def _finish(self, rollout: Rollout) -> None:
        """Let go of what only the former generation had."""
        self.rollout = None
        # Its tables may be large.
        former, self._former = self._former, None
        self.local.settle(self.model, self.supervisor)
        if former is None:
            self._first()
        else:
            self._let_go(rollout, former)
        rollout.finished.set_result(None)

    def _let_go(self, rollout: Rollout, former: Generation) -> None:
        model = rollout.generation.model
        self._log.reset(model.error_logs, self._openings.logs.fds)
        self._openings.keep(model, rollout.opened)
        for child in self.supervisor:
            if not rollout.takes(child) and not child.leaving:
                self._dismiss(child)
        for seat in range(rollout.generation.seats, former.seats):
            self.supervisor.close(seat)
        os.close(former.handover)
        told = changes(former.model, model)
        self.told = f"generation {former.number} → {rollout.generation.number}: {told}"
        self._log.write(Level.NOTICE, self.told)

    def _dismiss(self, child: Child) -> None:
        self.supervisor.dismiss(child)
        child.channel.send("quit")

    def stderr(self) -> dict[str, int]:
        """Find what takes the place of the terminal's stderr: a log, as in nginx."""
        paths = [log.path for log in self.model.error_logs]
        if not self._detached or not paths or None in paths:
            return {}
        return {"stderr": self._openings.logs.fds[str(paths[0])]}

    def _late(self, rollout: Rollout) -> None:
        if rollout.finished.done() or self.stopping:
            return
        number = rollout.generation.number
        if self.current is None:
            self._failed(f"the workers were not ready within {START_SECONDS:g} s", number)
            return
        who = ", ".join(str(child.pid) for child in rollout.late(self.supervisor))
        words = f"no answer within {CHANGE_SECONDS:g} s from worker process {who or 'to be'}"
        if not rollout.committed:
            self._failed(words, number)
            return
        self._log.write(Level.ALERT, f"{words}; it goes on with the former configuration")
        self._finish(rollout)

    def _failed(self, message: str, number: object) -> None:
        """A generation cannot be served by a worker: the end of a start, or of a change."""
        rollout = self.rollout
        if rollout is None or rollout.committed or rollout.generation.number != number:
            self._log.write(Level.ALERT, message)
        elif self.current is not None:
            self._withdraw(rollout, message)
        elif self.failure is None:
            self.failure = StartError(message)
            self.supervisor.retire()
            self.supervisor.kill()

    def _withdraw(self, rollout: Rollout, message: str) -> None:
        """Go on with the generation in force as if there had been no other."""
        self.rollout = None
        current = self.current
        assert current is not None
        self.supervisor.environment = environment_of(current.model.env, os.environ)
        for child in self.supervisor:
            if not rollout.takes(child):
                continue
            if child.serving:
                child.channel.send("drop", generation=rollout.generation.number)
                child.asked = child.ready = child.serving
            elif child.seat < current.seats and not rollout.outgoing:
                self._prepare(child, current)
            else:
                self.supervisor.dismiss(child)
                child.channel.send("terminate")
        for seat in range(current.seats, rollout.generation.seats):
            self.supervisor.close(seat)
        self._openings.drop(rollout.opened)
        self.local.settle(current.model, self.supervisor)
        os.close(rollout.generation.handover)
        seated = {child.seat for child in self.supervisor if not child.leaving}
        empty = [seat for seat in range(current.seats) if seat not in seated]
        if empty:
            self.supervisor.start(empty)
        rollout.finished.set_result(message)
