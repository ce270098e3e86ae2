"""A worker: does what the master says, on the loop whose selector is the engine.

What it does to connections is in `tidegate.stream.runtime`; here are its beginning and its end.
"""

from __future__ import annotations

import asyncio
import gc
import linecache
import logging
import os
import signal
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tidegate.config.model import Level, Stream
from tidegate.observe.error_log import ErrorLog, route_logging
from tidegate.observe.logs import Logs
from tidegate.process import caches, handover, rights, tables, tickets, zones
from tidegate.process.errors import StartError
from tidegate.process.given_logs import GivenLogs
from tidegate.process.logs import paths_of

if TYPE_CHECKING:
    from tidegate.engine.loop import Engine
    from tidegate.http.runtime import HttpRuntime
    from tidegate.http.runtime import Prepared as PreparedHttp
    from tidegate.process.channel import Channel, Message
    from tidegate.process.handover import Handover
    from tidegate.scoreboard.board import Board
    from tidegate.scoreboard.cache import Cache
    from tidegate.scoreboard.learned import Learned
    from tidegate.scoreboard.zone import Zone
    from tidegate.stream.runtime import Prepared, Runtime

# How often a worker that is shutting down looks whether its last session has ended.
LOOK_SECONDS = 0.1

# A signal of the terminal, or of a supervisor, often goes to the whole process group. The master is
# to act on it first, or it would replace a worker that has obeyed.
MASTERS_SECONDS = 0.2

# A worker at its limit stops accepting again for each client that leaves; one line says it all.
CALM_SECONDS = 2.0

# To look for garbage in everything that lives takes 20 ms and more, in which no session is served:
# it is done at the first commit, and then once in so many.
LOOK_AT_ALL = 1000

# What a former generation had lies in Python's lists of free objects, up to megabytes of it, until
# a search for garbage empties them. One in what is new alone takes a millisecond or less.
EMPTY_LISTS = 32

SOCKET = "socket:"
ZONE = "zone:"
CACHE = "cache:"
TABLE = "table:"

NOTHING = Stream(upstreams=(), limit_conn_zones=(), servers=())


class Next(NamedTuple):
    """A generation that is prepared and waits for its commit."""

    handover: Handover
    prepared: Prepared
    prepared_http: PreparedHttp | None
    sockets: dict[str, int]
    zones: dict[str, Zone]
    caches: dict[str, Cache]
    tables: dict[str, Learned]


class Worker:
    """One worker process, from its welcome to its end."""

    def __init__(self, channel: Channel, *, engine: Engine, board: Board, slot: int) -> None:
        self._channel = channel
        self._engine = engine
        self._board = board
        self._slot = slot
        self._log = ErrorLog((), {})
        self._given = GivenLogs()
        self._logs: Logs | None = None
        self._runtime: Runtime | None = None
        self._http: HttpRuntime | None = None  # once there was an `http {}`
        self._unused: dict[str, int] = {}  # up to which generation, by kind
        self._handover: Handover | None = None  # the one in force
        self._next: Next | None = None
        self._sockets: list[int] = []
        self._zones: dict[str, Zone] = {}
        self._caches: dict[str, Cache] = {}
        self._tables: dict[str, Learned] = {}
        self._leaving = False
        self._commits = 0
        self._pauses = 0
        self._pause_told = False

    async def run(self) -> int:
        """Serve until told to stop; returns the exit status."""
        loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[int] = loop.create_future()
        loop.add_reader(self._engine.wake_fd, self._engine.serve)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, loop.call_later, MASTERS_SECONDS, self._terminate)
        loop.add_signal_handler(signal.SIGQUIT, loop.call_later, MASTERS_SECONDS, self._quit)
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
            # The master's business: it opens logs and reads configurations.
            loop.add_signal_handler(number, lambda: None)
        # Blocked by the master until we could act on them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGQUIT))
        self._channel.attach(loop, self._heard, on_end=self._orphaned)
        status = await self._exit
        if self._logs is not None:
            self._logs.finish()
        self._log.write(Level.NOTICE, "exit")
        return status

    def notice(self, number: int) -> None:
        """Log that accepting stopped: `number` is the errno, 0 at our own limit.

        At a limit it stops and goes on with every session that ends; that is one line, and one more
        when it has gone on for a while.
        """
        self._pauses += 1
        if self._pause_told:
            return
        self._pause_told = True
        if number:
            why = f"accept4() failed ({number}: {os.strerror(number)})"
            self._log.write(Level.CRIT, f"{why}, accepting paused")
        else:
            self._log.write(Level.ALERT, f"{self._limit()} are not enough, accepting paused")
        self._wait_for_calm()

    def _limit(self) -> str:
        """What bounds the connections, and so what is to be raised."""
        wanted = self._handover.model.worker_connections if self._handover is not None else 0
        had = self._engine.connections
        if had >= wanted:
            return f"{had} worker_connections"
        return f"the {had} connections that the limit of descriptors (worker_rlimit_nofile) leaves"

    def _wait_for_calm(self) -> None:
        pauses = self._pauses

        def look() -> None:
            if self._engine.accepting and self._pauses == pauses:
                self._pause_told = False
                self._log.write(Level.NOTICE, "accepting resumed")
            else:
                self._wait_for_calm()

        asyncio.get_running_loop().call_later(CALM_SECONDS, look)

    def trouble(self, error: BaseException) -> None:
        """Log that a decision raised; its session is closed already."""
        logging.getLogger("tidegate").error("a session ended by a fault of ours", exc_info=error)

    def _heard(self, message: Message) -> None:
        if message.kind == "prepare":
            self._prepare(message)
        elif message.kind == "commit":
            self._commit(message)
        elif message.kind == "drop":
            self._drop()
        elif message.kind == "reopen":
            self._log.write(Level.NOTICE, "reopening logs")
            self._take_logs(message)
        elif message.kind == "tickets":
            self._take_tickets(message)
        elif message.kind == "quit":
            self._quit()
        elif message.kind == "terminate":
            self._terminate()
        else:
            self._log.write(Level.ALERT, f"the master says {message.kind!r}")

    # Beginning.

    def _prepare(self, message: Message) -> None:
        """Build everything that the new model needs; say ready, or what is wrong."""
        self._drop()
        sockets = _part(message.fds, SOCKET)
        number = message.body.get("generation")
        try:
            new = handover.unseal(message.fds["model"])
            self._take_logs(message)
            if self._runtime is None:
                self._runtime = self._first(new)
            if self._http is None and new.model.http is not None:
                self._http = self._first_http(new.generation)
            self._take_tickets(message)
            attached = zones.attach(_part(message.fds, ZONE), self._zones, worker=self._slot)
            kept = caches.attach(_part(message.fds, CACHE), self._caches)
            learned = tables.attach(_part(message.fds, TABLE), self._tables)
            prepared = self._runtime.prepare(
                new.model.stream or NOTHING,
                new.placement,
                attached,
                kept,
                tables=learned,
                generation=new.generation,
            )
            prepared_http = self._prepare_http(new, attached, kept)
        except Exception as error:  # whatever it is, the master has to know
            if not isinstance(error, StartError):
                logging.getLogger("tidegate").exception("prepare failed")
            for fd in sockets.values():
                os.close(fd)
            self._channel.send("error", message=str(error) or repr(error), generation=number)
            if self._handover is None:
                self._exit.set_result(1)
            return
        self._next = Next(new, prepared, prepared_http, sockets, attached, kept, learned)
        self._channel.send("ready", generation=new.generation)

    def _drop(self) -> None:
        """Forget what was prepared and is not to come into force."""
        if self._next is not None:
            for fd in self._next.sockets.values():
                os.close(fd)
        self._next = None
        self._keep_logs()

    def _keep_logs(self) -> None:
        """Let the logs go that only sessions of former configurations write to, with these."""
        if self._handover is not None and self._logs is not None:
            paths = set(paths_of(self._handover.model))
            self._logs.keep(paths)
            self._given.keep(paths)

    def _first(self, new: Handover) -> Runtime:
        # Imported before the rights go: the package may lie where `user` cannot read.
        from tidegate.stream.runtime import Runtime  # noqa: PLC0415

        self._log = ErrorLog(new.model.error_logs, self._given.fds)
        route_logging(self._log)
        self._logs = Logs(
            self._given.fds,
            asyncio.get_running_loop(),
            alert=lambda what: self._log.write(Level.ALERT, what),
        )
        runtime = Runtime(
            engine=self._engine,
            board=self._board,
            worker=self._slot,
            logs=self._logs,
            left=partial(self._left, "stream"),
        )
        self._unused["stream"] = 0
        if new.model.http is not None:
            import tidegate.http.runtime  # noqa: F401, PLC0415
        _import_for_tracebacks()
        rights.restrict(new.model, report=lambda problem: self._log.write(Level.ALERT, problem))
        self._room = rights.room_for_sockets()
        self._engine.connections = min(new.model.worker_connections, self._room)
        return runtime

    def _first_http(self, generation: int) -> HttpRuntime:
        # Workers without an `http {}` need nothing of it.
        from tidegate.http.runtime import HttpRuntime  # noqa: PLC0415

        assert self._logs is not None
        assert self._runtime is not None
        self._unused["http"] = generation - 1
        return HttpRuntime(
            engine=self._engine,
            board=self._board,
            worker=self._slot,
            logs=self._logs,
            tickets=self._runtime.tickets,
            listening=self._runtime.listening,
            left=partial(self._left, "http"),
        )

    def _prepare_http(
        self, new: Handover, attached: dict[str, Zone], kept: dict[str, Cache]
    ) -> PreparedHttp | None:
        if self._http is None:
            return None
        return self._http.prepare(
            new.model.http,
            new.placement,
            attached,
            kept,
            generation=new.generation,
            local=new.local or None,
        )

    def _commit(self, message: Message) -> None:
        """Put the prepared model in force."""
        assert self._runtime is not None
        if self._leaving or self._next is None:
            return
        self._given.take_stderr(message)
        new, prepared, prepared_http, sockets, *_ = self._next
        self._zones, self._caches, self._tables = self._next[4:]
        self._next = None
        model = new.model
        if self._handover is not None:
            self._log.reset(model.error_logs, self._given.fds)
            self._engine.connections = min(model.worker_connections, self._room)
        self._handover = new
        by_address = _by_address(sockets)
        shared = model.worker_processes > 1
        self._runtime.commit(prepared, by_address, shared=shared)
        if self._http is not None and prepared_http is not None:
            self._http.commit(prepared_http, by_address, shared=shared)
        for fd in self._sockets:
            os.close(fd)
        self._sockets = list(sockets.values())
        self._keep_logs()
        self._channel.send("committed", generation=new.generation)
        asyncio.get_running_loop().call_soon(self._settle)

    def _left(self, kind: str, generation: int) -> None:
        """Tell the master that nothing here uses what `generation` and those before it had."""
        before = min(self._unused.values())
        self._unused[kind] = generation
        unused = min(self._unused.values())
        if unused > before:
            self._channel.send("left", generation=unused)

    def _settle(self) -> None:
        """Take what lives as long as the model out of the garbage collector's sight.

        What a former generation had goes without the collector, as it is in no circle. Should
        something be in one after all, it is found when everything is looked at again.
        """
        began = time.monotonic()
        if self._commits % LOOK_AT_ALL == 0:
            gc.unfreeze()
            gc.collect()
        elif self._commits % EMPTY_LISTS == 0:
            gc.collect()
        self._commits += 1
        gc.freeze()
        self._log.write(Level.DEBUG, f"settled in {(time.monotonic() - began) * 1000:.1f} ms")

    def _take_logs(self, message: Message) -> None:
        if self._logs is not None:
            self._logs.flush()
        self._given.take(message)

    def _take_tickets(self, message: Message) -> None:
        fd = message.fds.pop("tickets", None)
        if fd is not None and self._runtime is not None:
            self._runtime.tickets.set(tickets.open_keys(fd))

    # End.

    def _terminate(self) -> None:
        """Fast: nobody is waited for."""
        if self._exit.done():
            return
        self._log.write(Level.NOTICE, "exiting")
        if self._runtime is not None:
            self._stop_listening()
            self._runtime.close_sessions()
        self._exit.set_result(0)

    def _quit(self) -> None:
        """Graceful: the sessions that run go on until they end, or their time has come."""
        if self._leaving or self._exit.done():
            return
        self._log.write(Level.NOTICE, "gracefully shutting down")
        self._leave()

    def _orphaned(self, error: Exception) -> None:
        """Go on without the master: a new one may start, and no session ends with the old."""
        if self._exit.done() or self._leaving:
            return
        if self._runtime is None:
            self._exit.set_result(1)
            return
        detail = "" if isinstance(error, EOFError) else f" ({error})"
        self._log.write(
            Level.ALERT, f"the master process is gone{detail}, serving what runs until it ends"
        )
        self._leave()

    def _leave(self) -> None:
        self._leaving = True
        if self._runtime is None or self._handover is None:
            self._exit.set_result(0)
            return
        self._stop_listening()
        self._drop()
        for fd in self._sockets:
            os.close(fd)
        self._sockets = []
        loop = asyncio.get_running_loop()
        timeout = self._handover.model.worker_shutdown_timeout_ms
        if timeout is not None:
            loop.call_later(timeout / 1000, self._out_of_time)
        self._look()

    def _stop_listening(self) -> None:
        if self._runtime is not None:
            self._runtime.stop_listening()
        if self._http is not None:
            self._http.leave()

    def _look(self) -> None:
        assert self._runtime is not None
        if self._exit.done():
            return
        if self._runtime.active() == 0:
            self._log.write(Level.NOTICE, "exiting")
            self._exit.set_result(0)
            return
        asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _out_of_time(self) -> None:
        if not self._exit.done():
            self._log.write(Level.INFO, "shutdown timeout")
            assert self._runtime is not None
            self._runtime.close_sessions()
            self._log.write(Level.NOTICE, "exiting")
            self._exit.set_result(0)


def _import_for_tracebacks() -> None:
    """Make a traceback, for which newer versions of Python import modules at the last moment."""
    try:
        int("no number")
    except ValueError:
        traceback.format_exc()
    linecache.clearcache()


def _by_address(sockets: dict[str, int]) -> dict[str, list[int]]:
    """Listening sockets by the text of their address; each key is that behind a number."""
    found: dict[str, list[int]] = {}
    for key, fd in sockets.items():
        found.setdefault(key.partition(":")[2], []).append(fd)
    return found


def _part(fds: dict[str, int], prefix: str) -> dict[str, int]:
    """Pick the descriptors whose key begins with `prefix`, by the rest of it."""
    return {key[len(prefix) :]: fd for key, fd in fds.items() if key.startswith(prefix)}
