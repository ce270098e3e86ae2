"""The first steps of a child process.

`python -P -m tidegate.process.child --kind worker --channel FD --slot N`.

It has one descriptor, the channel, and waits there for its welcome: the scoreboard, and the number
of connections by which the engine is made that its event loop runs on.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # asyncio would load Python's TLS, a megabyte that no worker uses: the engine has its own.
    sys.modules["ssl"] = None  # type: ignore[assignment]

import asyncio
import os
import socket

from tidegate.engine.loop import Engine
from tidegate.engine.selector import EngineSelector
from tidegate.process.channel import Channel
from tidegate.process.title import WORKER, set_title
from tidegate.process.worker import Worker
from tidegate.scoreboard.board import Board

# The master binds its sockets first, which it tries for two seconds, before it starts anybody.
WELCOME_SECONDS = 60.0


def main(arguments: list[str]) -> int:
    """Run a worker; returns its exit status."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    set_title(WORKER)
    sock = socket.socket(fileno=int(options["--channel"]))
    sock.set_inheritable(False)
    channel = Channel(sock, takes_descriptors=True)
    try:
        welcome = channel.wait(WELCOME_SECONDS)
    except (EOFError, TimeoutError):
        return 1
    board = Board.attach(welcome.fds["board"])
    os.close(welcome.fds["board"])
    return _serve(
        channel,
        board,
        slot=int(options["--slot"]),
        connections=int(str(welcome.body["connections"])),
    )


def _serve(channel: Channel, board: Board, *, slot: int, connections: int) -> int:
    engine = Engine(
        connections=connections,
        counters=board.worker_counters(slot),
        serial=board.serial(),
        # The worker is made with the engine, so these look it up when they are called.
        notice=lambda number: worker.notice(number),  # noqa: PLW0108
        trouble=lambda error: worker.trouble(error),  # noqa: PLW0108
    )
    worker = Worker(channel, engine=engine, board=board, slot=slot)
    runner = asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(EngineSelector(engine)))
    try:
        return runner.run(worker.run())
    finally:
        engine.close()
        sys.stderr.flush()


if __name__ == "__main__":
    # Without the interpreter's tear-down, which only costs time: nothing waits for it.
    os._exit(main(sys.argv[1:]))
