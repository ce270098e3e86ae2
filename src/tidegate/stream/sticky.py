"""`sticky learn` at work: clients go to the node that the table says, and the table learns.

Before the method chooses, the client's key is looked up; a node that is found and may be chosen is
taken. When a node has taken a client (its CONNACK welcomes it, or where none is read, it has
connected), that is learned. An entry lasts as long as the session and `timeout` longer: the keys of
sessions that live are kept here, by handle, and their entries touched now and then, so that those
without this carry nothing for it.

Nothing here holds an upstream: its generation would stay in use until a timer ends.
"""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING

from tidegate.config.model import Level
from tidegate.scoreboard.learned import NOT_ASKED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
# So many at once take less than half a millisecond, in which no session is served.
AT_ONCE = 256
PAUSE_SECONDS = 0.01


class Sticky:
    """One upstream's table in one worker, for the sessions of one configuration.

    `lookup` and `create` are compiled: the first that gives something is the client's key.
    """

    __slots__ = ("_create", "_held", "_lookup", "_model", "_nodes", "_peers", "_table", "_timer")

    def __init__(
        self,
        sticky: model.Sticky,
        table: Learned,
        peers: Sequence[model.Peer],
        *,
        lookup: tuple[Text, ...],
        create: tuple[Text, ...],
    ) -> None:
        self._model = sticky
        self._table = table
        self._lookup = lookup
        self._create = create
        self._nodes = [node_number(peer) for peer in peers]
        self._peers: dict[int, list[tuple[int, bool]]] = {}
        for index, peer in enumerate(peers):
            self._peers.setdefault(self._nodes[index], []).append((index, peer.backup))
        self._held: dict[int, bytes] = {}  # by handle: node and key
        self._timer: asyncio.TimerHandle | None = None

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
        node = self._table.find(key, self._model.timeout)
        if node == NOT_ASKED:
            self._complain(session, "its client is not looked up")
        return self._peers.get(node, ())

    def learn(self, session: Session) -> None:
        """The node that the session has is well: its client belongs to it from now on."""
        node = self._nodes[session.peer]
        sought = first_of(self._lookup, session)
        key = first_of(self._create, session)
        table, timeout, refresh = self._table, self._model.timeout, self._model.refresh
        done = not key or table.learn(key, node, timeout=timeout, refresh=refresh)
        if refresh and sought and sought != key:
            done = table.touch(sought, node) and done
        if not done:
            self._complain(session, "its client is not learned")
        held = key or sought
        if refresh and held:
            self._held[session.handle] = node.to_bytes(NODE_BYTES, "big") + held
            if self._timer is None:
                self._timer = self._later(timeout / TOUCHES, self._touch_all)

    def leave(self, handle: int) -> None:
        """A session has ended: from now on the time of its entry runs."""
        held = self._held.pop(handle, None)
        if held is None:
            return
        self._touch(held)
        if not self._held and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _complain(self, session: Session, what: str) -> None:
        message = f'the lock of sticky zone "{self._model.zone}" was not to be had, {what}'
        session.say_of_client(Level.ALERT, message)

    # The entries of sessions that live.

    def _touch_all(self) -> None:
        self._touch_some(iter(tuple(self._held)))

    def _touch_some(self, handles: Iterator[int]) -> None:
        some = list(islice(handles, AT_ONCE))
        for handle in some:
            held = self._held.get(handle)
            if held is not None:
                self._touch(held)
        if some:
            self._timer = self._later(PAUSE_SECONDS, self._touch_some, handles)
        elif self._held:
            self._timer = self._later(self._model.timeout / TOUCHES, self._touch_all)
        else:
            self._timer = None

    def _touch(self, held: bytes) -> None:
        self._table.touch(held[NODE_BYTES:], int.from_bytes(held[:NODE_BYTES], "big"))

    @staticmethod
    def _later(seconds: float, act: Callable[..., None], *arguments: object) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, act, *arguments)


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
