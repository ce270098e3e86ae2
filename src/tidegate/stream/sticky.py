"""`sticky learn` at work: clients go to the node that the table says, and the table learns.

Before the method chooses, the client's key is looked up; a node that is found and may be chosen is
taken. When a node has taken a client (its CONNACK welcomes it, or where none is read, it has
connected), that is learned. An entry lasts as long as the session and `timeout` longer: the keys of
sessions that live are kept here, by handle, and their entries touched now and then, so that those
without this carry nothing for it. That goes on over reloads, in the table then in force.

Nothing here holds an upstream: its generation would stay in use until a timer ends.
"""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import TYPE_CHECKING

from tidegate.config.model import Level
from tidegate.scoreboard.learned import NOT_ASKED, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tidegate.balance.attempt import Attempt
    from tidegate.balance.single import Single
    from tidegate.balance.upstream import Upstream
    from tidegate.config import model
    from tidegate.scoreboard.learned import Learned
    from tidegate.stream.session import Session

    Text = Callable[[Session], str]

NODE_BYTES = 8

# Entries of sessions that live are touched so often in their `timeout`: one that is missed, as the
# lock was not to be had, has two more chances.
TOUCHES = 4
# Of a long one oftener: so long may those be unknown whose room others took.
LONGEST_PAUSE = 900.0
# So many at once take less than half a millisecond, in which no session is served.
AT_ONCE = 256
PAUSE_SECONDS = 0.01


class Living:
    """One zone's table in this worker, over configurations, and its clients that have sessions.

    Their entries are touched now and then, and made again where others took their room.
    """

    __slots__ = ("__weakref__", "_held", "_timer", "table", "timeout")

    def __init__(self, table: Learned, timeout: int) -> None:
        self.table = table
        self.timeout = timeout
        self._held: dict[int, bytes] = {}  # by handle: node, whether `again`, and key
        self._timer: asyncio.TimerHandle | None = None

    def change(self, table: Learned, timeout: int) -> None:
        """Go on with what the configuration says that is in force now."""
        if (table, timeout) == (self.table, self.timeout):
            return
        self.table, self.timeout = table, timeout
        if self._timer is not None:
            # Another table may not know them yet, and another time may be over soon.
            self._timer.cancel()
            self._timer = self._later(PAUSE_SECONDS, self._touch_all)

    def hold(self, handle: int, node: int, key: bytes, *, again: bool) -> None:
        """Keep the entry of a session that lives, if it says this node; `again`: if there is none.

        What is kept is small, however long the key is.
        """
        self._held[handle] = node.to_bytes(NODE_BYTES, "big") + bytes([again]) + stored(key)
        if self._timer is None:
            self._timer = self._later(self._pause, self._touch_all)

    def leave(self, handle: int) -> None:
        """A session has ended: from now on the time of its entry runs."""
        held = self._held.pop(handle, None)
        if held is None:
            return
        self._touch(held)
        if not self._held and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _pause(self) -> float:
        """Seconds from when all were touched until they are again."""
        return min(self.timeout / TOUCHES, LONGEST_PAUSE)

    def _touch_all(self) -> None:
        self._touch_some(tuple(self._held), 0)

    def _touch_some(self, handles: tuple[int, ...], begin: int) -> None:
        end = min(begin + AT_ONCE, len(handles))
        for at in range(begin, end):
            held = self._held.get(handles[at])
            if held is not None and not self._touch(held):
                # Each of the others would wait as long, in vain.
                end = at + 1
                break
        if end < len(handles):
            self._timer = self._later(PAUSE_SECONDS, self._touch_some, handles, end)
        elif self._held:
            self._timer = self._later(self._pause, self._touch_all)
        else:
            self._timer = None

    def _touch(self, held: bytes) -> bool:
        node, again = int.from_bytes(held[:NODE_BYTES], "big"), bool(held[NODE_BYTES])
        return self.table.touch(held[NODE_BYTES + 1 :], node, again=again, as_stored=True)

    @staticmethod
    def _later(seconds: float, act: Callable[..., None], *arguments: object) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, act, *arguments)


class Sticky:
    """One upstream's table in one worker, for the sessions of one configuration.

    `lookup` and `create` are compiled: the first that gives something is the client's key.
    """

    __slots__ = ("_create", "_living", "_lookup", "_model", "_nodes", "_peers")

    def __init__(
        self,
        sticky: model.Sticky,
        living: Living,
        peers: Sequence[model.Peer],
        *,
        lookup: tuple[Text, ...],
        create: tuple[Text, ...],
    ) -> None:
        self._model = sticky
        self._living = living
        self._lookup = lookup
        self._create = create
        self._nodes = [node_number(peer) for peer in peers]
        self._peers: dict[int, list[tuple[int, bool]]] = {}
        for index, peer in enumerate(peers):
            self._peers.setdefault(self._nodes[index], []).append((index, peer.backup))

    def pick(self, session: Session, attempt: Attempt, upstream: Upstream | Single) -> int:
        """Reserve the node that the client is known to belong to, else what the method chooses."""
        if attempt.last < 0:
            for index, backup in self._known(session):
                if backup:
                    # The method would leave out all others after a backup: it chose none here.
                    attempt.tried = bytearray(len(upstream.peers))
                if upstream.pick_this(index, attempt.tried):
                    attempt.last = index
                    return index
                attempt.tried = None
        return upstream.pick(attempt)

    def _known(self, session: Session) -> Sequence[tuple[int, bool]]:
        """The peers that are the client's node, most often one; whether they are backups."""
        key = first_of(self._lookup, session)
        if not key:
            return ()
        node = self._living.table.find(key, self._living.timeout)
        if node == NOT_ASKED:
            self._complain(session, "its client is not looked up")
        return self._peers.get(node, ())

    def learn(self, session: Session) -> None:
        """The node that the session has is well: its client belongs to it from now on."""
        node = self._nodes[session.peer]
        sought = first_of(self._lookup, session)
        key = first_of(self._create, session)
        living, refresh = self._living, self._model.refresh
        table = living.table
        done = not key or table.learn(key, node, timeout=living.timeout, refresh=refresh)
        if refresh and sought and sought != key:
            done = table.touch(sought, node) and done
        if not done:
            self._complain(session, "its client is not learned")
        held = key or sought
        if refresh and held:
            living.hold(session.handle, node, held, again=bool(key))

    def leave(self, handle: int) -> None:
        """A session has ended."""
        self._living.leave(handle)

    def _complain(self, session: Session, what: str) -> None:
        message = f'the lock of sticky zone "{self._model.zone}" was not to be had, {what}'
        session.say_of_client(Level.ALERT, message)


def first_of(texts: tuple[Text, ...], session: Session) -> bytes:
    """The first text that is not empty; nothing where all are."""
    for text in texts:
        value = text(session)
        if value:
            return value.encode("utf-8", "surrogateescape")
    return b""


def node_number(peer: model.Peer) -> int:
    """What a node is known by, also after a restart: a hash of its address, never 0."""
    address = peer.address.text.encode("utf-8", "surrogateescape")
    return int.from_bytes(blake2b(address, digest_size=NODE_BYTES).digest(), "big") or 1
