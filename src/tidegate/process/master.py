"""The master: opens what needs its rights, hands it to the workers, and acts on signals.

The first configuration is handed over as every later one will be: *prepare* goes to each worker
with the model, the sockets and the logs; *commit* only when all are ready.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from typing import TYPE_CHECKING

from tidegate.balance.placement import allot
from tidegate.config.limits import connections_warning
from tidegate.config.model import Level
from tidegate.observe.error_log import STDERR, ErrorLog, route_logging
from tidegate.process import handover
from tidegate.process.errors import StartError
from tidegate.process.handover import Handover
from tidegate.process.logs import LogFiles, free_stderr, paths_of
from tidegate.process.pidfile import PidFile
from tidegate.process.sockets import ListeningSockets
from tidegate.process.supervisor import COMMAND, Stage, Supervisor, environment_of
from tidegate.process.title import MASTER, set_title
from tidegate.process.zones import Zones
from tidegate.scoreboard.board import Board
from tidegate.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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

GENERATION = 1


class Master:
    """One instance, from opening its files to removing them.

    `ready` is called once, when every worker accepts. `console` gets what the person who started
    us should see until then. `detached` says that the terminal is to be let go of.
    """

    def __init__(
        self,
        model: Model,
        *,
        ready: Callable[[], None],
        console: Callable[[Level, str], None],
        detached: bool,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._model = model
        self._ready = ready
        self._console = console
        self._detached = detached
        self._command = command
        self._workers = model.worker_processes if model.master_process else 1
        self._logs = LogFiles()
        self._log = ErrorLog((), {})
        self._sockets = ListeningSockets()
        self._zones = Zones()
        self._serving = False
        self._committed = False
        self._stopping = False
        self._terminating = False
        self._failure: StartError | None = None

    def run(self) -> None:
        """Start, serve until a signal ends it, clean up; raises StartError if it did not start."""
        pid_file: PidFile | None = None
        set_title(MASTER)
        try:
            free_stderr(self._model)
            self._logs.open(paths_of(self._model))
            self._log = ErrorLog(self._model.error_logs, self._logs.fds)
            self._sockets.open(list(_listens(self._model)), workers=self._workers, note=self._note)
            self._pid_file = pid_file = PidFile.claim(self._model.pid)
            self._introduce()
            asyncio.run(self._supervise())
            self._log.write(Level.NOTICE, "exit")
        except StartError as error:
            self._log.write(Level.EMERG, str(error))
            raise
        finally:
            self._sockets.close()
            if pid_file is not None:
                pid_file.release()
            self._logs.close()

    # What the supervisor tells us.

    def born(self, child: Child) -> None:
        """Send everything that a worker needs before its first connection."""
        child.channel.send(
            "welcome",
            fds={"board": self._board.fd},
            connections=self._model.worker_connections,
        )
        child.channel.send(
            "prepare",
            fds={"model": self._handover}
            | {f"log:{path}": fd for path, fd in self._logs.fds.items()}
            | {f"zone:{name}": fd for name, fd in self._zones.fds.items()}
            | {f"socket:{key}": fd for key, fd in self._sockets.for_worker(child.slot).items()},
            generation=GENERATION,
        )

    def heard(self, child: Child, message: Message) -> None:
        """Go on with the start, or note what went wrong."""
        if message.kind == "ready" and message.body.get("generation") == GENERATION:
            child.stage = Stage.READY
            self._commit()
        elif message.kind == "committed" and message.body.get("generation") == GENERATION:
            child.stage = Stage.SERVING
            self._check_serving()
        elif message.kind == "error":
            self._failed(f"worker process {child.pid}: {message.body.get('message')}")
        elif message.kind != "ended":
            self._log.write(Level.ALERT, f"worker process {child.pid} says {message.kind!r}")

    def died(self, child: Child) -> None:
        """Take back what it held; before the start is complete, give up."""
        self._board.forget_worker(child.slot)
        for name in self._zones.forget_worker(child.slot):
            lost = f'the connections of worker process {child.pid} stay counted in zone "{name}"'
            self._log.write(Level.ALERT, f"{lost}: its lock was not to be had")
        if not self._serving and not self._stopping:
            self._failed(f"worker process {child.pid} ended before it could serve")

    def deserted(self) -> None:
        """Everything has ended that had to."""
        if not self._ended.done():
            self._ended.set_result(None)

    # The start.

    def _note(self, level: Level, message: str) -> None:
        self._log.write(level, message)
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
        self._board = _board_for(self._model, self._workers)
        if self._model.stream is not None:
            self._zones.open(self._model.stream.limit_conn_zones)
        placement = allot(self._model, self._board, None)
        self._handover = handover.seal(
            Handover(generation=GENERATION, model=self._model, placement=placement)
        )
        self._supervisor = Supervisor(
            self,
            slots=self._workers,
            loop=loop,
            log=self._log,
            environment=environment_of(self._model.env, os.environ),
            command=self._command,
        )
        for number, handler in self._handlers():
            loop.add_signal_handler(number, handler)
        late = loop.call_later(START_SECONDS, self._late)
        try:
            self._supervisor.start()
            await self._ended
        finally:
            late.cancel()
            self._supervisor.kill()
            os.close(self._handover)
        if self._failure is not None:
            raise self._failure

    def _commit(self) -> None:
        """Let those begin who are ready, once all have been."""
        self._committed = self._committed or (
            len(self._supervisor) == self._workers
            and all(child.stage == Stage.READY for child in self._supervisor)
        )
        if not self._committed:
            return
        for child in self._supervisor:
            if child.stage == Stage.READY:
                child.stage = Stage.TOLD
                child.channel.send("commit", fds=self._stderr(), generation=GENERATION)

    def _check_serving(self) -> None:
        if self._serving or any(child.stage != Stage.SERVING for child in self._supervisor):
            return
        self._serving = True
        stderr = self._stderr()
        self._ready()
        if stderr:
            os.dup2(stderr["stderr"], STDERR)

    def _stderr(self) -> dict[str, int]:
        """Find what takes the place of the terminal's stderr: a log, as in nginx."""
        paths = [log.path for log in self._model.error_logs]
        if not self._detached or not paths or None in paths:
            return {}
        return {"stderr": self._logs.fds[str(paths[0])]}

    def _late(self) -> None:
        if not self._serving:
            self._failed(f"the workers were not ready within {START_SECONDS:g} s")

    def _failed(self, message: str) -> None:
        """Something went wrong in a worker: the end of a start, a line in the log later."""
        if self._serving or self._stopping:
            self._log.write(Level.ALERT, message)
        elif self._failure is None:
            self._failure = StartError(message)
            self._supervisor.retire()
            self._supervisor.kill()

    # Signals.

    def _handlers(self) -> Iterator[tuple[signal.Signals, Callable[[], None]]]:
        yield signal.SIGTERM, lambda: self._terminate(signal.SIGTERM)
        yield signal.SIGINT, lambda: self._terminate(signal.SIGINT)
        yield signal.SIGQUIT, self._quit
        yield signal.SIGUSR1, self._reopen
        yield signal.SIGHUP, lambda: self._not_yet(signal.SIGHUP, "reloading")
        yield signal.SIGUSR2, lambda: self._not_yet(signal.SIGUSR2, "changing the binary")
        yield signal.SIGWINCH, lambda: self._not_yet(signal.SIGWINCH, "retiring the workers")

    def _received(self, number: signal.Signals, consequence: str) -> None:
        line = f"signal {number.value} ({number.name}) received, {consequence}"
        self._log.write(Level.NOTICE, line)

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
        self._sockets.close()
        self._pid_file.retire()
        self._stop("quit")

    def _stop(self, how: str) -> None:
        self._stopping = True
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
