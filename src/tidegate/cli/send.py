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
from tidegate.process.errors import StartError
from tidegate.process.logs import LogFiles
from tidegate.process.pidfile import send_signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidegate.cli.paths import Paths
    from tidegate.cli.switches import Switches
    from tidegate.config.model import Model

NUMBERS = {
    "stop": signal.SIGTERM,
    "quit": signal.SIGQUIT,
    "reopen": signal.SIGUSR1,
}


def signal_running(switches: Switches, places: Paths) -> int:
    """Send `-s`'s signal; returns the exit status."""
    loaded = load(switches, places, resolves=False)
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
    number = NUMBERS.get(word)
    log.write(Level.NOTICE, "signal process started")
    if number is None:
        raise StartError(f'"-s {word}" is not supported yet', "restart to use a new configuration")
    try:
        send_signal(pid_file, number)
    except StartError as error:
        log.write(Level.ERROR, str(error))
        raise
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
