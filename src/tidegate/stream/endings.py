"""What the error log says when a session ends, in nginx's words."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from tidegate.config.model import Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidegate.engine.outcome import Report

# Who ended a relay. Of other ends nginx says nothing, or has said it before.
SIDES = {
    "client_closed": "client",
    "client_error": "client",
    "upstream_closed": "upstream",
    "upstream_error": "upstream",
}
# The engine found no memory, or the kernel none for it.
NO_MEMORY = "failed"
BROKEN = ("client_error", "upstream_error")

TIMED_OUT = f"({errno.ETIMEDOUT}: {os.strerror(errno.ETIMEDOUT)})"

OUT_OF_MEMORY = f"({errno.ENOMEM}: {os.strerror(errno.ENOMEM)})"


class Line(NamedTuple):
    """A line to be; nginx puts its details of the session behind some of them only."""

    level: Level
    message: str
    detailed: bool


def lines_of(report: Report, *, relayed: bool) -> Iterator[Line]:
    """The lines for an end, in order; `relayed` tells that the session had come to a node."""
    if report.reason == "timed_out":
        if relayed:
            message = f"connection timed out {TIMED_OUT} while proxying connection"
        else:
            message = f"client timed out {TIMED_OUT} while prereading client data"
        yield Line(Level.INFO, message, detailed=True)
    elif report.reason == NO_MEMORY:
        yield Line(Level.CRIT, f"no memory for the session {OUT_OF_MEMORY}", detailed=True)
    side = SIDES.get(report.reason)
    if side is None:
        return
    # Of faults of TLS, which have no errno of their own, more was said before.
    if report.error and report.reason in BROKEN and abs(report.error) != errno.EPROTO:
        # A broker that breaks off is a matter for the operator, a client that does is not.
        level = Level.INFO if side == "client" else Level.ERROR
        yield Line(level, _broken(report.error, side), detailed=True)
    yield Line(
        Level.INFO,
        f"{side} disconnected"
        f", bytes from/to client:{report.bytes_received}/{report.bytes_sent}"
        f", bytes from/to upstream:{report.upstream_bytes_received}/{report.upstream_bytes_sent}",
        detailed=False,
    )


def _broken(error: int, side: str) -> str:
    call, doing = ("recv()", "reading from") if error > 0 else ("writev()", "sending to")
    number = abs(error)
    return f"{call} failed ({number}: {os.strerror(number)}) while proxying and {doing} {side}"
