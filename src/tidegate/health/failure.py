"""Why a node failed last: one number on the scoreboard, a few words for people."""

from __future__ import annotations

import errno
import os
import time
from typing import Protocol

from tidegate.mqtt.reason_codes import name_of

# Below them it is the errno of a connect.
REFUSED = 0x10000  # and the code of the CONNACK
CLOSED = 0x20000  # before the CONNACK
ANSWERED = 0x40000  # and the status of the HTTP answer
CUT = 0x80000  # before its HTTP answer had a head
MALFORMED = 0x100000

WORDS = {
    CLOSED: "closed before its CONNACK",
    CUT: "closed before its answer",
    MALFORMED: "sent no valid HTTP header",
    errno.ETIMEDOUT: "connect timed out",
    errno.ETIME: "no answer in time",
}


class Upstream(Protocol):
    """What is used of an upstream."""

    def note_failure(self, index: int, why: int, when: int, /) -> None:
        """Keep it where all workers see it."""


def note(upstream: Upstream, index: int, why: int) -> None:
    """Keep why peer `index` failed just now."""
    upstream.note_failure(index, why, int(time.time()))


def words(why: int) -> str:
    """What `note` was told, in words."""
    if why in WORDS:
        return WORDS[why]
    if why & REFUSED:
        return f"refused a CONNECT: {name_of(why & ~REFUSED)}"
    if why & ANSWERED:
        return f"answered with status {why & ~ANSWERED}"
    return f"connect failed ({why}: {os.strerror(why)})"
