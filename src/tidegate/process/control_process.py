"""The control process: serves content of our own to the workers, and resolves names.

`python -P -m tidegate.process.control_process --kind control --channel FD --slot N`.

What it serves, over a Unix socket, is in `tidegate.local`, what it asks name servers in
`dns_watch.py`; here are its beginning and its end. The socket and its folder (`site.py`) are the
master's, and outlive it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING

from uvicorn import Config, Server

from tidegate.config.model import Level
from tidegate.local.application import application
from tidegate.local.rehearsal import rehearse
from tidegate.observe.error_log import ErrorLog, route_logging
from tidegate.process import handover, rights
from tidegate.process.channel import Channel
from tidegate.process.errors import StartError
from tidegate.process.given_logs import GivenLogs
from tidegate.process.logs import paths_of
from tidegate.process.site import clear
from tidegate.process.title import CONTROL, set_title
from tidegate.process.worker import MASTERS_SECONDS
from tidegate.scoreboard.board import Board

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidegate.process.channel import Message
    from tidegate.process.dns_watch import DnsWatch

WELCOME_SECONDS = 60.0

# Connections at the same time: each may keep a piece of a file for a client that reads slowly, and
# has the file open twice. Who comes then is told 503.
CONNECTIONS = 1024
DESCRIPTORS = 3
SPARE_DESCRIPTORS = 64

# The workers outlive the master while they have sessions: when none of them has asked for so long,
# nobody will.
FORSAKEN_SECONDS = 2.0
LOOK_SECONDS = 0.25

# Not imported where there are no names: it is some megabytes with dnspython.
DNS_WATCH = "tidegate.process.dns_watch"


class ContentServer(Server):
    """The web server, which leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield

    @property
    def busy(self) -> bool:
        """Whether a connection is open."""
        return bool(self.server_state.connections)


class ControlProcess:
    """One control process, from its welcome to its end."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._given = GivenLogs()
        self._log = ErrorLog((), {})
        self._path = ""
        self._names: DnsWatch | None = None
        self._leaving = False

    async def run(self, welcome: Message) -> int:
        """Serve until told to stop; returns the exit status."""
        loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[int] = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, loop.call_later, MASTERS_SECONDS, self._terminate)
        loop.add_signal_handler(signal.SIGQUIT, loop.call_later, MASTERS_SECONDS, self._quit)
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
            loop.add_signal_handler(number, lambda: None)
        # Blocked by the master until we could act on them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGQUIT))
        try:
            serving = await self._begin(welcome)
        except Exception as error:  # whatever it is, the master has to know
            self._channel.send("error", message=str(error) or repr(error))
            if not isinstance(error, StartError):
                raise
            return 1
        self._channel.attach(loop, self._heard, on_end=self._orphaned)
        self._channel.send("serving")
        serving.add_done_callback(self._served)
        status = await self._exit
        self._log.write(Level.NOTICE, "exit")
        return status

    def _served(self, serving: asyncio.Task[None]) -> None:
        """The web server has come to its end, which is ours."""
        if self._exit.done():
            return
        error = serving.exception()
        if error is not None:
            logging.getLogger("tidegate").error("the web server ended", exc_info=error)
        self._exit.set_result(0 if error is None else 1)

    async def _begin(self, welcome: Message) -> asyncio.Task[None]:
        """Take what the master gave, give up its rights, and serve."""
        self._path = str(welcome.body["path"])
        board = Board.attach(welcome.fds["board"])
        os.close(welcome.fds["board"])
        listening = socket.socket(fileno=welcome.fds["socket"])
        model = handover.unseal(welcome.fds["model"]).model
        self._given.take(welcome)
        self._log.reset(model.error_logs, self._given.fds)
        route_logging(self._log)
        app = application(board)
        config = Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        config.load()
        # Before the rights go: what is imported late may lie where `user` cannot read.
        await rehearse(app)
        if "names" in welcome.fds:
            importlib.import_module(DNS_WATCH)
        rights.restrict(model, report=lambda problem: self._log.write(Level.ALERT, problem))
        config.limit_concurrency = _most_connections()
        self._take_names(welcome)
        self._server = ContentServer(config)
        return asyncio.get_running_loop().create_task(self._server.serve(sockets=[listening]))

    def _heard(self, message: Message) -> None:
        if message.kind == "settings":
            model = handover.unseal(message.fds["model"]).model
            self._given.take(message)
            self._log.reset(model.error_logs, self._given.fds)
            self._given.keep(paths_of(model))
        elif message.kind == "reopen":
            self._log.write(Level.NOTICE, "reopening logs")
            self._given.take(message)
        elif message.kind == "names":
            self._take_names(message)
        elif message.kind == "quit":
            self._quit()
        elif message.kind == "terminate":
            self._terminate()
        else:
            self._log.write(Level.ALERT, f"the master says {message.kind!r}")

    def _take_names(self, message: Message) -> None:
        """Look after these names from now on, after none without any."""
        fd = message.fds.pop("names", None)
        if fd is None:
            if self._names is not None:
                self._names.close()
            return
        if self._names is None:
            try:
                watch = importlib.import_module(DNS_WATCH)
            except (ImportError, OSError) as error:
                # Our rights are too few by now: the one after us has them at its start.
                self._log.write(Level.NOTICE, f"another process resolves names ({error})")
                os.close(fd)
                self._quit()
                return
            self._names = watch.DnsWatch(lambda told: self._channel.send("name", **told))
        self._names.take(fd)

    def _terminate(self) -> None:
        """Fast: nobody is waited for."""
        if not self._exit.done():
            self._log.write(Level.NOTICE, "exiting")
            self._exit.set_result(0)

    def _quit(self) -> None:
        """Graceful: what was begun is brought to its end."""
        if not self._leaving:
            self._leaving = True
            self._log.write(Level.NOTICE, "gracefully shutting down")
            self._server.should_exit = True

    def _orphaned(self, _error: Exception) -> None:
        """Serve workers that outlive the master, as long as they ask, and clear up."""
        if self._exit.done() or self._leaving:
            return
        self._leaving = True
        if self._names is not None:
            self._names.close()
        self._log.write(Level.ALERT, "the master process is gone, serving what runs until it ends")
        self._look(FORSAKEN_SECONDS)

    def _look(self, seconds: float) -> None:
        if self._server.busy:
            seconds = FORSAKEN_SECONDS
        if seconds > 0:
            loop = asyncio.get_running_loop()
            loop.call_later(LOOK_SECONDS, self._look, seconds - LOOK_SECONDS)
            return
        clear(self._path)
        self._terminate()


def _most_connections() -> int:
    """What the limit of descriptors leaves."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(CONNECTIONS, (soft - SPARE_DESCRIPTORS) // DESCRIPTORS))


def main(arguments: list[str]) -> int:
    """Run the control process; returns its exit status."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    set_title(CONTROL)
    sock = socket.socket(fileno=int(options["--channel"]))
    sock.set_inheritable(False)
    channel = Channel(sock, takes_descriptors=True)
    try:
        welcome = channel.wait(WELCOME_SECONDS)
    except (EOFError, TimeoutError):
        return 1
    return asyncio.run(ControlProcess(channel).run(welcome))


if __name__ == "__main__":
    # Without the interpreter's tear-down, which only costs time: nothing waits for it.
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)
