"""`limit_conn` at work: sessions counted by key in zones that all workers share.

A limit whose key needs nothing that the client sends is *early*: it counts a client before a byte
of it is read, as nginx does. One whose key names a variable of MQTT or TLS is *late*: it counts
after the handshake, when the CONNECT was read, before a node is chosen. What a session holds is the
number of its entry in each zone; it is kept here, by handle, so that sessions without limits carry
nothing for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from tidegate.config.model import Level
from tidegate.scoreboard.zone import AT_LIMIT, LONGEST, NO_ROOM
from tidegate.wire.quoted import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tidegate.scoreboard.zone import Zone
    from tidegate.stream.session import Session

PASSED = "PASSED"
REJECTED = "REJECTED"
REJECTED_DRY_RUN = "REJECTED_DRY_RUN"

# Entries from 1; so much for a limit that did not count the session.
NOT_COUNTED = 0

# Between two tries to give back what could not be given back at once.
AGAIN_SECONDS = 0.1


class Limit(NamedTuple):
    """One `limit_conn`: `key_text` is the key as the configuration has it."""

    zone: Zone
    name: str
    key: Callable[[Session], str]
    key_text: str
    most: int


class Limits:
    """The limits of one server in one worker, and what its sessions hold of them."""

    __slots__ = ("_doing", "_dry_run", "_early", "_held", "_late", "_level", "_limits", "_owed")

    def __init__(
        self,
        *,
        early: Sequence[Limit],
        late: Sequence[Limit],
        level: Level,
        dry_run: bool,
        doing: str = " while initializing session",
    ) -> None:
        """`doing` stands behind what is told of early limits."""
        self._early = tuple(early)
        self._late = tuple(late)
        self._limits = (*early, *late)
        self._level = level
        self._dry_run = dry_run
        self._doing = doing
        # An entry for each limit so far; or how it ended for a session that holds none any more.
        self._held: dict[int, tuple[int, ...] | str] = {}
        self._owed: list[tuple[Zone, int]] = []

    def admit(self, session: Session) -> bool:
        """Count a client that was just accepted; False when it is to be refused.

        One that was passed on to an address of the same server counts already.
        """
        if session.passes and session.handle in self._held:
            return True
        return self._count(session, self._early, (), self._doing)

    def admit_late(self, session: Session) -> bool:
        """Count a client of whom all is known; False when it is to be refused."""
        if not self._late:
            return True
        held = self._held.get(session.handle, (NOT_COUNTED,) * len(self._early))
        if len(held) == len(self._limits):
            return True  # counted before it was passed on to another address of the server
        if isinstance(held, str):
            return True  # over a limit in a dry run, and as in nginx counted no further
        return self._count(session, self._late, held, " while prereading client data")

    def _count(
        self, session: Session, limits: tuple[Limit, ...], held: tuple[int, ...], doing: str
    ) -> bool:
        for limit in limits:
            entry = self._take(session, limit, doing)
            if entry < 0:
                self._tell(session, limit, entry, doing)
                self._return(held)
                self._held[session.handle] = REJECTED_DRY_RUN if self._dry_run else REJECTED
                return self._dry_run
            held = (*held, entry)
        if any(held):
            self._held[session.handle] = held
        return True

    def _take(self, session: Session, limit: Limit, doing: str) -> int:
        key = limit.key(session)
        packed = key.encode("utf-8", "surrogateescape")
        if not packed:
            return NOT_COUNTED
        if len(packed) > LONGEST:
            session.say_of_client(
                Level.ERROR,
                f'the value of the "{limit.key_text}" key is more than {LONGEST} bytes: '
                f"{quoted(key)}{doing}",
            )
            return NOT_COUNTED
        return limit.zone.take(packed, limit.most)

    def _tell(self, session: Session, limit: Limit, reason: int, doing: str) -> None:
        level = Level.ALERT
        message = f'the lock of limit_conn_zone "{limit.name}" was not to be had'
        if reason == AT_LIMIT:
            dry_run = ", dry run," if self._dry_run else ""
            level = self._level
            message = f'limiting connections{dry_run} by zone "{limit.name}"'
        elif reason == NO_ROOM:
            level = Level.CRIT
            message = f'ngx_slab_alloc() failed: no memory in limit_conn_zone "{limit.name}"'
        session.say_of_client(level, f"{message}{doing}")

    def give_back(self, session: Session) -> None:
        """The session has ended, and no longer counts; its `status` is still known."""
        held = self._held.get(session.handle)
        if isinstance(held, tuple):
            self._held[session.handle] = PASSED
            self._return(held)

    def forget(self, session: Session) -> None:
        """Nobody will ask for the session any more."""
        self._held.pop(session.handle, None)

    def status(self, session: Session) -> str | None:
        """The value of `$limit_conn_status`; None where nothing was counted."""
        held = self._held.get(session.handle)
        return PASSED if isinstance(held, tuple) else held

    def _return(self, held: tuple[int, ...]) -> None:
        for limit, entry in zip(self._limits, held, strict=False):
            if entry != NOT_COUNTED and not limit.zone.give_back(entry):
                self._owe(limit.zone, entry)

    def _owe(self, zone: Zone, entry: int) -> None:
        """Give back later: a process that has the lock does not run."""
        if not self._owed:
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._settle)
        self._owed.append((zone, entry))

    def _settle(self) -> None:
        owed, self._owed = self._owed, []
        for zone, entry in owed:
            if not zone.give_back(entry):
                self._owe(zone, entry)
