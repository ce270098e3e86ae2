"""`-s SIGNAL`: tell the instance that the configuration's pid file belongs to."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

from tidegate.cli.reading import load
from tidegate.cli.start import problems
from tidegate.cli.terminal import FAILED, say
from tidegate.config.model import Level
from tidegate.observe.error_log import ErrorLog
from tidegate.process.control import ask
from tidegate.process.errors import StartError
from tidegate.process.logs import LogFiles
from tidegate.process.pidfile import send_signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidegate.cli.paths import Paths
    from tidegate.cli.switches import Switches
    from tidegate.config.model import Model

# A name server that is slow, an address that is not free yet, a worker that is busy: all bounded.
RELOAD_SECONDS = 120.0

NUMBERS = {
    "stop": signal.SIGTERM,
    "quit": signal.SIGQUIT,
    "reopen": signal.SIGUSR1,
}


def signal_running(switches: Switches, places: Paths) -> int:
    """Send `-s`'s signal; returns the exit status."""
    # Before a reload everything is looked at, as the master will do.
    loaded = load(switches, places, resolves=switches.signal == "reload")
    if loaded.model is None:
        say(problems(loaded))
        return FAILED
    try:
        with _logged(loaded.model) as log:
            return _send(str(switches.signal), loaded.model.pid, log)
    except StartError as error:
        say(f"tidegate: [error] {error}")
        return FAILED


def _send(word: str, pid_file: str, log: ErrorLog) -> int:
    log.write(Level.NOTICE, "signal process started")
    try:
        if word == "reload":
            return reload_running(pid_file)
        send_signal(pid_file, NUMBERS[word])
    except StartError as error:
        log.write(Level.ERROR, str(error))
        raise
    return 0


def reload_running(pid_file: str) -> int:
    """Have the configuration read anew; says how it went where the master can be asked.

    Without its control socket it is only sent a signal, and its log tells the rest.
    """
    try:
        answer = ask(pid_file, "reload", seconds=RELOAD_SECONDS)
    except (FileNotFoundError, ConnectionRefusedError):
        send_signal(pid_file, signal.SIGHUP)
        return 0
    if "error" in answer:
        say(f"tidegate: [emerg] {answer['error']}; the former configuration stays in force")
        return FAILED
    say(f"tidegate: {answer['told']}")
    return 0


@contextlib.contextmanager
def _logged(model: Model) -> Iterator[ErrorLog]:
    """The main error log of the configuration; one that we may not write to stays silent."""
    files = LogFiles()
    try:
        try:
            files.open([log.path for log in model.error_logs if log.path is not None])
        except StartError:
            yield ErrorLog((), {})
        else:
            yield ErrorLog([log for log in model.error_logs if log.path], files.fds)
    finally:
        files.close()
