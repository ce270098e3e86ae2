"""The master: opens what needs its rights, hands it to the workers, and acts on signals.

A configuration comes into force by a `Rollout`, the first as every later one: *prepare* goes to
each worker with the model, the sockets and the logs; *commit* only when all are ready.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import time
from typing import TYPE_CHECKING

from tidegate.balance.placement import allot
from tidegate.config.limits import connections_warning
from tidegate.config.model import Level
from tidegate.observe.error_log import STDERR, ErrorLog, route_logging
from tidegate.observe.status import private_memory, sessions, upstreams
from tidegate.process import handover
from tidegate.process.certificates import LOOK_SECONDS, Certificates
from tidegate.process.changes import changes
from tidegate.process.control import ControlSocket, path_beside
from tidegate.process.errors import StartError
from tidegate.process.handover import Handover
from tidegate.process.logs import LogFiles, free_stderr, paths_of
from tidegate.process.pidfile import PidFile
from tidegate.process.rollout import Generation, Opened, Rollout
from tidegate.process.sockets import ListeningSockets
from tidegate.process.supervisor import COMMAND, Supervisor, environment_of
from tidegate.process.tickets import Tickets, period_of
from tidegate.process.title import MASTER, set_title
from tidegate.process.zones import Zones
from tidegate.scoreboard.board import Board
from tidegate.stream.refusals import totals
from tidegate.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tidegate.balance.placement import Placement
    from tidegate.config.model import Listen, Model
    from tidegate.process.channel import Message
    from tidegate.process.supervisor import Child

# A worker is ready within half a second; a machine that swaps may take longer.
START_SECONDS = 60.0
# nginx's: a worker that has not obeyed a fast stop by then is killed.
FAST_STOP_SECONDS = 1.0

# Least numbers of slots of the scoreboard, which is mapped once and never grown: room for the
# configurations to come. Unused ones cost no memory.
SPARE_WORKERS = 64
UPSTREAMS = 1024
PEERS = 8192

# So long may a worker take to prepare a new configuration, or to change over to it.
CHANGE_SECONDS = 15.0

# What workers cannot take on while they run: others take their place.
FIXED = ("user", "group", "env", "worker_priority", "worker_rlimit_nofile", "transparent")


class Master:
    """One instance, from opening its files to removing them.

    `reread` reads the configuration anew for a reload, and raises StartError. `ready` is called
    once, when every worker accepts. `console` gets what the person who started us should see until
    then. `detached` says that the terminal is to be let go of.
    """

    def __init__(
        self,
        model: Model,
        *,
        reread: Callable[[ErrorLog], Model],
        ready: Callable[[], None],
        console: Callable[[Level, str], None],
        detached: bool,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._model = model  # the one in force
        self._reread = reread
        self._ready = ready
        self._console = console
        self._detached = detached
        self._command = command
        self._logs = LogFiles()
        self._log = ErrorLog((), {})
        self._sockets = ListeningSockets()
        self._current: Generation | None = None
        self._former: Generation | None = None
        self._placement: Placement | None = None
        self._rollout: Rollout | None = None
        self._tickets = Tickets()
        self._serving = False
        self._stopping = False
        self._terminating = False
        self._failure: StartError | None = None
        self._wishes: list[asyncio.Future[str | None]] = []
        self._renewed: Model | None = None  # the one in force with certificates that are new
        self._reloading: asyncio.Task[None] | None = None
        self._told = ""  # what the last reload changed
        self._began = time.monotonic()

    def run(self) -> None:
        """Start, serve until a signal ends it, clean up; raises StartError if it did not start."""
        self._pid_file: PidFile | None = None
        set_title(MASTER)
        try:
            free_stderr(self._model)
            self._logs.open(paths_of(self._model))
            self._log = ErrorLog(self._model.error_logs, self._logs.fds)
            workers = self._model.worker_processes if self._model.master_process else 1
            self._sockets.open(list(_listens(self._model)), workers=workers, note=self._note)
            self._pid_file = PidFile.claim(self._model.pid)
            self._introduce()
            asyncio.run(self._supervise())
            self._log.write(Level.NOTICE, "exit")
        except StartError as error:
            self._log.write(Level.EMERG, str(error))
            raise
        finally:
            self._sockets.close()
            if self._pid_file is not None:
                self._pid_file.release()
            self._logs.close()

    # What the supervisor tells us.

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
            left = min(child.left for child in self._supervisor)
            self._placement = self._placement.retire(left)

    def died(self, child: Child) -> None:
        """Take back what it held; what was not complete without it has failed."""
        self._board.forget_worker(child.slot)
        rollout = self._rollout
        for generation in (self._current, None if rollout is None else rollout.generation):
            for name in [] if generation is None else generation.zones.forget_worker(child.slot):
                what = (
                    f'the connections of worker process {child.pid} stay counted in zone "{name}"'
                )
                self._log.write(Level.ALERT, f"{what}: its lock was not to be had")
        if rollout is None or self._stopping:
            return
        number = rollout.generation.number
        if child in rollout.outgoing:
            # Another has its seat, or is about to.
            child.leaving = True
        elif child.asked == number != child.ready and not rollout.committed:
            self._failed(f"worker process {child.pid} ended before it could serve", number)
        elif rollout.committed:
            asyncio.get_running_loop().call_soon(self._check_serving)

    def deserted(self) -> None:
        """Everything has ended that had to."""
        if not self._ended.done():
            self._ended.set_result(None)

    # The start.

    def _note(self, level: Level, message: str) -> None:
        self._log.write(level, message)
        if not self._serving:
            self._console(level, message)

    def _introduce(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        system = os.uname()
        for line in (
            f"tidegate/{VERSION}",
            f"OS: {system.sysname} {system.release}",
            f"getrlimit(RLIMIT_NOFILE): {soft}:{hard}",
        ):
            self._log.write(Level.NOTICE, line)
        warning = connections_warning(self._model, soft)
        if warning is not None:
            self._note(Level.WARN, warning)

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        route_logging(self._log)
        workers = self._model.worker_processes if self._model.master_process else 1
        self._board = _board_for(self._model, workers)
        self._supervisor = Supervisor(
            self,
            slots=self._board.workers,
            loop=loop,
            log=self._log,
            environment=environment_of(self._model.env, os.environ),
            command=self._command,
        )
        for number, handler in self._handlers():
            loop.add_signal_handler(number, handler)
        await self._open_control(self._model.pid)
        self._change_tickets_later(loop)
        watch = loop.create_task(self._watch_certificates())
        try:
            self._roll(self._generation(self._model), Opened(sockets=[], logs=[]))
            await self._ended
        finally:
            watch.cancel()
            self._control.close()
            self._supervisor.kill()
            if self._reloading is not None:
                self._reloading.cancel()
            if self._current is not None:
                os.close(self._current.handover)
            if self._rollout is not None and self._rollout.generation is not self._current:
                os.close(self._rollout.generation.handover)
        if self._failure is not None:
            raise self._failure

    async def _open_control(self, pid_file: str) -> None:
        """Answer beside the pid file; without that, signals still do what matters."""
        control = ControlSocket(
            {
                "reload": self._answer_reload,
                "status": self._answer_status,
                "upstreams": self._answer_upstreams,
            }
        )
        try:
            await control.open(path_beside(pid_file))
        except StartError as error:
            self._log.write(Level.ALERT, f"{error}; -s reload can only send a signal")
        self._control = control

    async def _answer_reload(self) -> dict[str, object]:
        problem = await asyncio.shield(self.reload())
        if problem is not None:
            return {"error": problem}
        return {"told": self._told}

    async def _answer_status(self) -> dict[str, object]:
        current = self._current
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "generation": 0 if current is None else current.number,
            "uptime": round(time.monotonic() - self._began, 1),
            "workers": [
                {
                    "pid": child.pid,
                    "state": self._state_of(child),
                    "generation": child.serving,
                    "sessions": sessions(self._board, child.slot),
                    "memory": private_memory(child.pid),
                }
                for child in self._supervisor
            ],
            "mqtt": totals(self._board),
        }

    async def _answer_upstreams(self) -> dict[str, object]:
        current = self._current
        if current is None:
            return {"error": "tidegate has not started yet"}
        return {"upstreams": upstreams(current.model, current.placement, self._board)}

    def _state_of(self, child: Child) -> str:
        if child.leaving or self._stopping:
            return "leaving"
        return "serving" if child.serving else "starting"

    # Putting a generation in force.

    def _generation(self, model: Model) -> Generation:
        """The next generation, of this model."""
        placement = allot(model, self._board, self._placement)
        number = placement.generation
        zones = Zones() if self._current is None else self._current.zones
        zones = zones.followed_by(() if model.stream is None else model.stream.limit_conn_zones)
        sealed = handover.seal(Handover(generation=number, model=model, placement=placement))
        return Generation(
            number=number, model=model, placement=placement, handover=sealed, zones=zones
        )

    def _roll(self, generation: Generation, opened: Opened) -> asyncio.Future[str | None]:
        """Begin to put it in force; the future gets None, or what went wrong."""
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[str | None] = loop.create_future()
        old = self._current
        replaces = old is not None and any(
            getattr(old.model, name) != getattr(generation.model, name) for name in FIXED
        )
        outgoing = list(self._supervisor) if replaces else []
        rollout = Rollout(generation, opened, outgoing=outgoing, finished=finished)
        self._rollout = rollout
        if replaces:
            self._supervisor.environment = environment_of(generation.model.env, os.environ)
        taken = {child.seat for child in self._supervisor if rollout.takes(child)}
        for child in self._supervisor:
            if rollout.takes(child):
                self._prepare(child, generation)
        empty = [seat for seat in range(generation.seats) if seat not in taken]
        if empty:
            self._supervisor.start(empty)
        patience = START_SECONDS if old is None else CHANGE_SECONDS
        loop.call_later(patience, self._late, rollout)
        return finished

    def _for(self, child: Child) -> Generation:
        """The generation that a new child is to serve."""
        rollout = self._rollout
        if rollout is not None and rollout.takes(child):
            return rollout.generation
        assert self._current is not None
        return self._current

    def _prepare(self, child: Child, generation: Generation) -> None:
        child.asked = generation.number
        sockets = self._sockets.for_seat(
            child.seat, _listens(generation.model), seats=generation.seats
        )
        tickets = self._tickets.sealed()
        child.channel.send(
            "prepare",
            fds={"model": generation.handover, "tickets": tickets}
            | {f"log:{path}": self._logs.fds[path] for path in set(paths_of(generation.model))}
            | {f"zone:{name}": fd for name, fd in generation.zones.fds.items()}
            | {f"socket:{key}": fd for key, fd in sockets.items()},
            generation=generation.number,
        )
        os.close(tickets)

    def _go_on(self, child: Child) -> None:
        """A child has prepared, or has committed."""
        rollout, current = self._rollout, self._current
        if rollout is not None and not rollout.committed and rollout.takes(child):
            if rollout.ready(self._supervisor):
                self._commit(rollout)
        elif current is not None and child.ready == current.number and child.told != child.ready:
            self._tell(child, current)
        self._check_serving()

    def _commit(self, rollout: Rollout) -> None:
        """All are ready: from here on the new generation is the one in force."""
        rollout.committed = True
        self._former, self._current = self._current, rollout.generation
        self._placement = rollout.generation.placement
        self._model = rollout.generation.model
        for child in self._supervisor:
            if rollout.takes(child) and child.ready == rollout.generation.number:
                self._tell(child, rollout.generation)

    def _tell(self, child: Child, generation: Generation) -> None:
        child.told = generation.number
        child.channel.send("commit", fds=self._stderr(), generation=generation.number)

    def _check_serving(self) -> None:
        rollout = self._rollout
        if rollout is not None and rollout.committed and rollout.serving(self._supervisor):
            self._finish(rollout)

    def _finish(self, rollout: Rollout) -> None:
        """Let go of what only the former generation had."""
        self._rollout = None
        former = self._former
        if former is None:
            self._settle_start()
        else:
            self._let_go(rollout, former)
        rollout.finished.set_result(None)

    def _let_go(self, rollout: Rollout, former: Generation) -> None:
        model = rollout.generation.model
        self._sockets.keep(_listens(model))
        self._log.reset(model.error_logs, self._logs.fds)
        self._logs.keep(paths_of(model))
        for child in self._supervisor:
            if not rollout.takes(child) and not child.leaving:
                self._dismiss(child)
        for seat in range(rollout.generation.seats, former.seats):
            self._supervisor.close(seat)
        if rollout.opened.pid_file is not None and self._pid_file is not None:
            self._pid_file.release()
            self._pid_file = rollout.opened.pid_file
        os.close(former.handover)
        told = changes(former.model, model)
        self._told = f"generation {former.number} → {rollout.generation.number}: {told}"
        self._log.write(Level.NOTICE, self._told)

    def _dismiss(self, child: Child) -> None:
        self._supervisor.dismiss(child)
        child.channel.send("quit")

    def _settle_start(self) -> None:
        self._serving = True
        stderr = self._stderr()
        self._ready()
        if stderr:
            os.dup2(stderr["stderr"], STDERR)

    def _change_tickets_later(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(period_of(self._model), self._change_tickets, loop)

    def _change_tickets(self, loop: asyncio.AbstractEventLoop) -> None:
        """New tickets get a new key; the old ones are still read for a while."""
        self._tickets.change()
        tickets = self._tickets.sealed()
        for child in self._supervisor:
            child.channel.send("tickets", fds={"tickets": tickets})
        os.close(tickets)
        self._change_tickets_later(loop)

    def _stderr(self) -> dict[str, int]:
        """Find what takes the place of the terminal's stderr: a log, as in nginx."""
        paths = [log.path for log in self._model.error_logs]
        if not self._detached or not paths or None in paths:
            return {}
        return {"stderr": self._logs.fds[str(paths[0])]}

    def _late(self, rollout: Rollout) -> None:
        if rollout.finished.done() or self._stopping:
            return
        number = rollout.generation.number
        if self._current is None:
            self._failed(f"the workers were not ready within {START_SECONDS:g} s", number)
            return
        who = ", ".join(str(child.pid) for child in rollout.late(self._supervisor))
        words = f"no answer within {CHANGE_SECONDS:g} s from worker process {who or 'to be'}"
        if not rollout.committed:
            self._failed(words, number)
            return
        self._log.write(Level.ALERT, f"{words}; it goes on with the former configuration")
        self._finish(rollout)

    def _failed(self, message: str, number: object) -> None:
        """A generation cannot be served by a worker: the end of a start, or of a change."""
        rollout = self._rollout
        if rollout is None or rollout.committed or rollout.generation.number != number:
            self._log.write(Level.ALERT, message)
        elif self._current is not None:
            self._withdraw(rollout, message)
        elif self._failure is None:
            self._failure = StartError(message)
            self._supervisor.retire()
            self._supervisor.kill()

    def _withdraw(self, rollout: Rollout, message: str) -> None:
        """Go on with the generation in force as if there had been no other."""
        self._rollout = None
        current = self._current
        assert current is not None
        self._supervisor.environment = environment_of(current.model.env, os.environ)
        for child in self._supervisor:
            if not rollout.takes(child):
                continue
            if child.serving:
                child.channel.send("drop", generation=rollout.generation.number)
                child.asked = child.serving
            elif child.seat < current.seats and not rollout.outgoing:
                self._prepare(child, current)
            else:
                self._supervisor.dismiss(child)
                child.channel.send("terminate")
        for seat in range(current.seats, rollout.generation.seats):
            self._supervisor.close(seat)
        self._close(rollout.opened)
        os.close(rollout.generation.handover)
        seated = {child.seat for child in self._supervisor if not child.leaving}
        empty = [seat for seat in range(current.seats) if seat not in seated]
        if empty:
            self._supervisor.start(empty)
        rollout.finished.set_result(message)

    def _close(self, opened: Opened) -> None:
        self._sockets.drop(opened.sockets)
        self._logs.drop(opened.logs)
        if opened.pid_file is not None:
            opened.pid_file.release()

    # Reloading.

    def reload(self) -> asyncio.Future[str | None]:
        """Read the configuration anew and put it in force; the future gets what went wrong.

        Who asks while that is done asks for one more of it, however many they are.
        """
        loop = asyncio.get_running_loop()
        wish: asyncio.Future[str | None] = loop.create_future()
        self._wishes.append(wish)
        self._renewed = None  # whatever is new is read again
        self._begin_reload(loop)
        return wish

    def _begin_reload(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._reloading is None or self._reloading.done():
            self._reloading = loop.create_task(self._reload())

    async def _watch_certificates(self) -> None:
        """Put certificates in force that have changed, sessions going on with the old."""
        certificates = Certificates(
            error=lambda line: self._log.write(Level.ERROR, line),
            warn=lambda line: self._log.write(Level.WARN, line),
        )
        while not self._stopping:
            await asyncio.sleep(LOOK_SECONDS)
            model = self._model
            if self._rollout is not None or self._wishes or model.stream is None:
                continue
            try:
                renewed = await asyncio.to_thread(certificates.look, model)
            except Exception:  # whatever it is, the watch goes on
                logging.getLogger("tidegate").exception("the certificates could not be looked at")
                continue
            if renewed is not None and model is self._model and not self._wishes:
                self._renewed = renewed
                self._begin_reload(asyncio.get_running_loop())

    async def _reload(self) -> None:
        while (self._wishes or self._renewed) and not self._stopping:
            rollout = self._rollout
            if rollout is not None:
                await asyncio.wait([rollout.finished])
            wishes, self._wishes = self._wishes, []
            outcome = await self._change()
            for wish in wishes:
                if not wish.done():
                    wish.set_result(outcome)

    async def _change(self) -> str | None:
        """One reload; gives what went wrong."""
        renewed, self._renewed = self._renewed, None
        if renewed is None:
            self._log.write(Level.NOTICE, "reconfiguring")
        else:
            self._log.write(Level.NOTICE, "certificates have changed, new handshakes use them")
        try:
            # Names are looked up there, which may take its time.
            model = renewed
            if model is None:
                model = await asyncio.to_thread(self._reread, self._log)
            opened = self._open(model)
        except StartError as error:
            return self._unchanged(str(error))
        except Exception as error:  # whatever it is, what runs goes on
            logging.getLogger("tidegate").exception("the configuration could not be read")
            return self._unchanged(repr(error))
        try:
            finished = self._roll(self._generation(model), opened)
        except (StartError, ValueError, OSError) as error:
            self._close(opened)
            return self._unchanged(str(error))
        outcome = await finished
        return None if outcome is None else self._unchanged(outcome)

    def _unchanged(self, why: str) -> str:
        self._log.write(Level.EMERG, why)
        self._log.write(Level.NOTICE, "the former configuration stays in force")
        return why

    def _open(self, model: Model) -> Opened:
        """Open what the model needs beside what is open; raises StartError."""
        opened = Opened(sockets=[], logs=[])
        workers = model.worker_processes if model.master_process else 1
        try:
            opened.logs = self._logs.open(paths_of(model))
            opened.sockets = self._sockets.open(
                list(_listens(model)), workers=workers, note=self._note
            )
            if model.pid != self._model.pid:
                opened.pid_file = PidFile.claim(model.pid)
        except BaseException:
            self._close(opened)
            raise
        return opened

    # Signals.

    def _handlers(self) -> Iterator[tuple[signal.Signals, Callable[[], None]]]:
        yield signal.SIGTERM, lambda: self._terminate(signal.SIGTERM)
        yield signal.SIGINT, lambda: self._terminate(signal.SIGINT)
        yield signal.SIGQUIT, self._quit
        yield signal.SIGUSR1, self._reopen
        yield signal.SIGHUP, self._hang_up
        yield signal.SIGUSR2, lambda: self._not_yet(signal.SIGUSR2, "changing the binary")
        yield signal.SIGWINCH, lambda: self._not_yet(signal.SIGWINCH, "retiring the workers")

    def _received(self, number: signal.Signals, consequence: str) -> None:
        line = f"signal {number.value} ({number.name}) received, {consequence}"
        self._log.write(Level.NOTICE, line)

    def _hang_up(self) -> None:
        self._received(signal.SIGHUP, "reconfiguring")
        self.reload()

    def _terminate(self, number: signal.Signals) -> None:
        self._received(number, "exiting")
        if self._terminating:
            self._supervisor.kill()
            return
        self._terminating = True
        self._stop("terminate")
        asyncio.get_running_loop().call_later(FAST_STOP_SECONDS, self._supervisor.kill)

    def _quit(self) -> None:
        self._received(signal.SIGQUIT, "shutting down")
        # A new instance may have our addresses and our name while the last sessions go on.
        self._control.close()
        self._sockets.close()
        if self._pid_file is not None:
            self._pid_file.retire()
        self._stop("quit")

    def _stop(self, how: str) -> None:
        self._stopping = True
        for wish in self._wishes:
            wish.set_result("tidegate is shutting down")
        self._wishes = []
        for child in self._supervisor:
            child.channel.send(how)
        self._supervisor.retire()

    def _reopen(self) -> None:
        self._received(signal.SIGUSR1, "reopening logs")
        self._logs.reopen(lambda problem: self._log.write(Level.EMERG, problem))
        stderr = self._stderr() if self._serving else {}
        if stderr:
            os.dup2(stderr["stderr"], STDERR)
        fds = {f"log:{path}": fd for path, fd in self._logs.fds.items()} | stderr
        for child in self._supervisor:
            child.channel.send("reopen", fds=fds)

    def _not_yet(self, number: signal.Signals, what: str) -> None:
        self._received(number, f"but {what} is not supported yet; nothing changes")


def _board_for(model: Model, workers: int) -> Board:
    upstreams = model.stream.upstreams if model.stream is not None else ()
    return Board.create(
        workers=workers + SPARE_WORKERS,
        upstreams=max(UPSTREAMS, 2 * len(upstreams)),
        peers=max(PEERS, 2 * sum(len(upstream.peers) for upstream in upstreams)),
    )


def _listens(model: Model) -> Iterator[Listen]:
    for server in model.stream.servers if model.stream is not None else ():
        yield from server.listens
