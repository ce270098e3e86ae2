"""A look at the scoreboard of a running tidegate, through its master's descriptor."""

import os

from lab import proc


def rows(pid, count):
    """The first `count` peer rows, in the order of the configuration."""
    from tidegate.scoreboard.board import Board  # noqa: PLC0415 - the lab runs without it too

    for fd, target in proc.descriptors(pid).items():
        if not target.startswith("/memfd:"):
            continue
        descriptor = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
        try:
            board = Board.attach(descriptor)
        except ValueError:
            continue
        finally:
            os.close(descriptor)
        return [board.peer_row(row) for row in range(count)]
    raise AssertionError(f"no scoreboard among the descriptors of {pid}")
