"""Starting an instance: in the background as nginx does, or in front."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tidegate.cli.terminal import FAILED, say
from tidegate.config.diagnostics import excerpt
from tidegate.config.model import Level
from tidegate.process.daemon import in_background
from tidegate.process.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.config.load import Loaded
    from tidegate.config.model import Model
    from tidegate.observe.error_log import ErrorLog


def start(read: Callable[[], Loaded], *, in_front: bool = False) -> int:
    """Read the configuration by `read` and start it; returns the exit status.

    It is read in the same way for each reload. In the background the return means that every
    worker accepts; else that it has all ended. `in_front` stays whatever the configuration says
    about it, and shows what was started.
    """
    loaded = read()
    model = loaded.model
    said = problems(loaded)
    if said:
        say(said)
    if model is None:
        return FAILED
    if model.daemon and not in_front:
        return in_background(lambda ready: _run(model, read, ready, detached=True))
    began = time.monotonic()
    return _run(model, read, lambda: _show(model, began) if in_front else None, detached=False)


def problems(loaded: Loaded) -> str:
    """What was found in the configuration, as nginx says it while starting: up to an error."""
    text = ""
    for problem in loaded.problems:
        text += f"{problem.headline}\n{excerpt(problem, loaded.line)}"
        if problem.fatal:
            break
    return text.rstrip("\n")


def _run(
    model: Model, read: Callable[[], Loaded], ready: Callable[[], None], *, detached: bool
) -> int:
    # Imported by then only: the caller of a daemon never needs asyncio.
    from tidegate.process.master import Master  # noqa: PLC0415

    try:
        Master(
            model,
            reread=lambda log: _reread(read, log),
            ready=ready,
            console=_console,
            detached=detached,
        ).run()
    except StartError as error:
        say(f"tidegate: [emerg] {error}")
        return FAILED
    return 0


def _reread(read: Callable[[], Loaded], log: ErrorLog) -> Model:
    """The configuration as it is now; what is wrong with it goes to the log, then StartError."""
    loaded = read()
    words = ""
    for problem in loaded.problems:
        words = f"{problem.words} ({problem.hint})" if problem.hint else problem.words
        if problem.fatal:
            break
        log.write(problem.severity, words)
    if loaded.model is None:
        raise StartError(words)
    return loaded.model


def _console(level: Level, message: str) -> None:
    """Show what nginx shows on the terminal while it starts: warnings and worse."""
    if level >= Level.WARN:
        say(f"tidegate: [{level.name.lower()}] {message}")


def _show(model: Model, began: float) -> None:
    from tidegate.cli.start_block import start_block  # noqa: PLC0415

    say(start_block(model))
    say(f"ready in {(time.monotonic() - began) * 1000:.0f} ms, Ctrl-C stops it")
