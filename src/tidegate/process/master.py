"""The master: opens what needs its rights, starts the workers, reloads, and acts on signals.

How a configuration comes into force, the first as every later one, is in `generations`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import time
from typing import TYPE_CHECKING

from tidegate.config.limits import connections_warning
from tidegate.config.model import Level
from tidegate.observe.error_log import STDERR, ErrorLog, route_logging
from tidegate.process.answers import Answers
from tidegate.process.aside import aside
from tidegate.process.board_size import board_for
from tidegate.process.certificates import LOOK_SECONDS, Certificates
from tidegate.process.control import ControlSocket, path_beside
from tidegate.process.errors import StartError
from tidegate.process.generations import Generations
from tidegate.process.local_content import LocalContent
from tidegate.process.logs import free_stderr, paths_of
from tidegate.process.names import Names
from tidegate.process.openings import Openings
from tidegate.process.renames import Renames
from tidegate.process.supervisor import COMMAND, Supervisor, environment_of
from tidegate.process.tickets import Tickets, period_of
from tidegate.process.title import MASTER, set_title
from tidegate.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tidegate.config.model import Model
    from tidegate.process.channel import Message
    from tidegate.process.supervisor import Child
    from tidegate.process.tables import Table

# nginx's: a worker that has not obeyed a fast stop by then is killed.
FAST_STOP_SECONDS = 1.0

# How often it is looked for tables that have changed.
SAVE_LOOK_SECONDS = 0.5

SHUTTING_DOWN = "tidegate is shutting down"

# So many reloads leave a megabyte in Python's lists of free objects, which a search for garbage
# empties. It takes 20 ms, which nobody waits for in the master.
EMPTY_LISTS = 32


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
        self._model = model  # the first
        self._reread = reread
        self._ready = ready
        self._console = console
        self._detached = detached
        self._command = command
        self._openings = Openings(self._note)
        self._log = ErrorLog((), {})
        self._tickets = Tickets()
        self._serving = False
        self._terminating = False
        self._left_files = False
        self._wishes: list[asyncio.Future[str | None]] = []
        # The one in force, and the same with certificates that are new.
        self._renewed: tuple[Model, Model] | None = None
        self._reloading: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Start, serve until a signal ends it, clean up; raises StartError if it did not start."""
        set_title(MASTER)
        try:
            free_stderr(self._model)
            self._openings.logs.open(paths_of(self._model))
            self._log = ErrorLog(self._model.error_logs, self._openings.logs.fds)
            self._openings.begin(self._model)
            self._introduce()
            asyncio.run(self._supervise())
            self._log.write(Level.NOTICE, "exit")
        except StartError as error:
            self._log.write(Level.EMERG, str(error))
            raise
        finally:
            self._openings.close()

    # What the supervisor tells us.

    def born(self, child: Child) -> None:
        """Send everything that a worker needs before its first connection."""
        self._generations.born(child)

    def heard(self, child: Child, message: Message) -> None:
        """Go on with what is being put in force, or note what went wrong."""
        self._generations.heard(child, message)

    def died(self, child: Child) -> None:
        """Take back what it held."""
        self._generations.died(child)

    def deserted(self) -> None:
        """Every worker has ended that had to: nobody asks the control process any more."""
        self._local.retire(self._end)

    def _end(self) -> None:
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
        board = board_for(self._model)
        self._generations = Generations(
            self._model,
            board=board,
            openings=self._openings,
            tickets=self._tickets,
            log=self._log,
            first=self._settle,
            detached=self._detached,
        )
        self._supervisor = Supervisor(
            self,
            slots=board.workers,
            loop=loop,
            log=self._log,
            environment=environment_of(self._model.env, os.environ),
            command=self._command,
        )
        self._generations.supervisor = self._supervisor
        self._renames = Renames(loop, lambda: self._begin_reload(loop))
        self._names = Names(self._log, self._renames.changed)
        self._local = self._generations.local = LocalContent(
            board=board,
            loop=loop,
            log=self._log,
            names=self._names,
            logs=lambda: self._openings.logs.fds,
            stderr=self._stderr,
        )
        for number, handler in self._handlers():
            loop.add_signal_handler(number, handler)
        self._answers = Answers(self._generations, board, self._names)
        self._control = self._control_socket()
        await self._open_control()
        self._change_tickets_later(loop)
        watch = loop.create_task(self._watch_certificates())
        saving = loop.create_task(self._save_tables())
        beginning = loop.create_task(self._begin())
        try:
            await asyncio.wait((beginning, self._ended), return_when=asyncio.FIRST_COMPLETED)
            if beginning.done():
                await beginning
            await self._ended
        finally:
            beginning.cancel()
            watch.cancel()
            saving.cancel()
            self._control.close()
            self._save_last()
            self._supervisor.kill()
            self._local.close()
            if self._reloading is not None:
                self._reloading.cancel()
            self._generations.close()
        if self._generations.failure is not None:
            raise self._generations.failure

    async def _begin(self) -> None:
        """Have the workers of the first configuration."""
        model = self._generations.model = await self._with_names(self._model)
        tables = await self._generations.tables_for(model)
        if not self._generations.stopping:
            self._generations.begin(tables)
            # Somebody may have asked meanwhile.
            self._begin_reload(asyncio.get_running_loop())

    def _settle(self) -> None:
        """Every worker accepts: who started us may go."""
        self._serving = True
        stderr = self._generations.stderr()
        self._ready()
        if stderr:
            os.dup2(stderr["stderr"], STDERR)

    def _control_socket(self) -> ControlSocket:
        return ControlSocket(
            {
                "reload": self._answer_reload,
                "status": self._answers.status,
                "upstreams": self._answers.upstreams,
            }
        )

    async def _open_control(self) -> None:
        """Answer beside the pid file; without that, signals still do what matters."""
        try:
            await self._control.open(path_beside(self._generations.model.pid))
        except StartError as error:
            self._log.write(Level.ALERT, f"{error}; -s reload can only send a signal")

    async def _move_control(self) -> None:
        """Answer beside another pid file from now on; who asks right now gets the answer."""
        former = self._control
        if former.path == path_beside(self._generations.model.pid):
            return
        self._control = self._control_socket()
        await self._open_control()
        former.close()

    async def _answer_reload(self) -> dict[str, object]:
        problem = await asyncio.shield(self.reload())
        if problem is not None:
            return {"error": problem}
        return {"told": self._generations.told}

    def _change_tickets_later(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(period_of(self._generations.model), self._change_tickets, loop)

    def _change_tickets(self, loop: asyncio.AbstractEventLoop) -> None:
        """New tickets get a new key; the old ones are still read for a while."""
        self._change_tickets_later(loop)
        self._tickets.change()
        tickets = self._tickets.sealed()
        for child in self._supervisor:
            child.channel.send("tickets", fds={"tickets": tickets})
        os.close(tickets)

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
        begun = self._generations.current or self._generations.rollout
        if begun and not self._under_way():
            self._reloading = loop.create_task(self._reload())

    def _under_way(self) -> bool:
        return self._reloading is not None and not self._reloading.done()

    def _busy(self) -> bool:
        """Whether a reload is asked for, or under way: while it reads, no wish is left."""
        return bool(self._wishes) or self._under_way()

    async def _watch_certificates(self) -> None:
        """Put certificates in force that have changed, sessions going on with the old."""
        certificates = Certificates(
            error=lambda line: self._log.write(Level.ERROR, line),
            warn=lambda line: self._log.write(Level.WARN, line),
        )
        while not self._generations.stopping:
            await asyncio.sleep(LOOK_SECONDS)
            model = self._generations.model
            if self._generations.rollout is not None or self._busy():
                continue
            try:
                renewed = await asyncio.to_thread(certificates.look, model)
            except Exception:  # whatever it is, the watch goes on
                logging.getLogger("tidegate").exception("the certificates could not be looked at")
                continue
            if renewed is not None and model is self._generations.model and not self._busy():
                self._renewed = model, renewed
                self._begin_reload(asyncio.get_running_loop())

    async def _save_tables(self) -> None:
        """Keep the tables of `sticky learn` in their files, as they change."""
        while not self._left_files:
            await asyncio.sleep(SAVE_LOOK_SECONDS)
            await self._save_due()

    async def _save_due(self) -> None:
        now = time.monotonic()
        for table in self._tables():
            if not table.due(now) or self._left_files:
                continue
            try:
                await aside(table.save)
            except Exception:  # whatever it is, the others are saved, and this one again
                logging.getLogger("tidegate").exception("a table could not be saved")

    def _tables(self) -> Iterable[Table]:
        current = self._generations.current
        return () if current is None else current.tables

    def _save_last(self) -> None:
        """Save what has changed once more; from then on the files may be another instance's."""
        if not self._left_files:
            self._left_files = True
            for table in self._tables():
                table.save_last()

    async def _reload(self) -> None:
        while self._wanted() and not self._generations.stopping:
            rollout = self._generations.rollout
            if rollout is not None:
                await asyncio.wait([rollout.finished])
                if self._generations.stopping:
                    return
            wishes, self._wishes = self._wishes, []
            renewed, self._renewed = self._renewed, None
            if not wishes and renewed is not None and renewed[0] is not self._generations.model:
                continue  # made from one that is in force no more
            outcome = await self._put(renewed, reread=bool(wishes))
            self._settle_names(outcome)
            for wish in wishes:
                if not wish.done():
                    wish.set_result(outcome)

    async def _put(self, renewed: tuple[Model, Model] | None, *, reread: bool) -> str | None:
        """Put in force what is most urgent of what is wanted; gives what went wrong."""
        if reread:
            outcome = await self._change(None, "reconfiguring")
        elif renewed is not None:
            what = "certificates have changed, new handshakes use them"
            outcome = await self._change(renewed[1], what)
        else:
            what = "names have changed, new sessions use them"
            outcome = await self._change(self._generations.model, what)
            if outcome is not None:
                self._renames.failed()
        if outcome is None:
            self._renames.succeeded()
        return outcome

    def _settle_names(self, outcome: str | None) -> None:
        """Let go of the names, and the site, of what did not come into force."""
        model = self._generations.model
        self._names.settle(model)
        if outcome is not None and not self._generations.stopping:
            self._local.settle(model, self._supervisor)

    def _wanted(self) -> bool:
        """Whether anything is to be put in force."""
        return bool(self._wishes or self._renewed) or self._renamed()

    def _renamed(self) -> bool:
        """Whether names mean something else than in the model in force."""
        model = self._generations.model
        return self._renames.may_begin and self._names.filled(model) is not model

    async def _with_names(self, model: Model) -> Model:
        """The model with what its names mean; those that are new are waited for a while."""
        if self._names.want(model):
            self._local.path_for(model)  # there has to be somebody who asks
            await self._names.first(model)
        return self._names.filled(model)

    async def _change(self, model: Model | None, what: str) -> str | None:
        """One reload, to that model or to what is read anew; gives what went wrong."""
        self._log.write(Level.NOTICE, what)
        try:
            # Names are looked up there, which may take its time.
            if model is None:
                model = await asyncio.to_thread(self._reread, self._log)
            model = await self._with_names(model)
            tables = await self._generations.tables_for(model)
            if self._generations.stopping:
                return SHUTTING_DOWN  # the addresses are another's by now
            opened = self._openings.open(model)
        except StartError as error:
            return self._unchanged(str(error))
        except Exception as error:  # whatever it is, what runs goes on
            logging.getLogger("tidegate").exception("the configuration could not be read")
            return self._unchanged(repr(error))
        try:
            finished = self._generations.put(model, opened, tables)
        except (StartError, ValueError, OSError) as error:
            self._openings.drop(opened)
            return self._unchanged(str(error))
        outcome = await finished
        if outcome is not None:
            return self._unchanged(outcome)
        await self._move_control()
        current = self._generations.current
        if current is not None and current.number % EMPTY_LISTS == 0:
            gc.collect()
        return None

    def _unchanged(self, why: str) -> str:
        self._log.write(Level.EMERG, why)
        self._log.write(Level.NOTICE, "the former configuration stays in force")
        return why

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
            self._local.kill()
            return
        self._terminating = True
        self._stop("terminate")
        asyncio.get_running_loop().call_later(FAST_STOP_SECONDS, self._supervisor.kill)

    def _quit(self) -> None:
        self._received(signal.SIGQUIT, "shutting down")
        self._control.close()
        self._save_last()
        self._openings.retire()
        self._stop("quit")

    def _stop(self, how: str) -> None:
        self._generations.stopping = True
        self._names.stop()
        for wish in self._wishes:
            wish.set_result(SHUTTING_DOWN)
        self._wishes = []
        for child in self._supervisor:
            child.channel.send(how)
        self._supervisor.retire()

    def _reopen(self) -> None:
        self._received(signal.SIGUSR1, "reopening logs")
        self._openings.logs.reopen(lambda problem: self._log.write(Level.EMERG, problem))
        stderr = self._stderr()
        if stderr:
            os.dup2(stderr["stderr"], STDERR)
        fds = {f"log:{path}": fd for path, fd in self._openings.logs.fds.items()} | stderr
        for child in self._supervisor:
            child.channel.send("reopen", fds=fds)
        self._local.reopen(fds)

    def _stderr(self) -> dict[str, int]:
        """What takes the place of stderr, once the start has worked."""
        return self._generations.stderr() if self._serving else {}

    def _not_yet(self, number: signal.Signals, what: str) -> None:
        self._received(number, f"but {what} is not supported yet; nothing changes")
