"""`proxy_session_drop`: a reload ends the sessions of nodes that it removed, or took `down`.

Nodes are known by upstream and address, or by address alone where that upstream is gone. What
counts for a session is the server that now listens where it came in, or its own where none does, or
several do.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from tidegate.balance.single import Single
from tidegate.config import model
from tidegate.config.model import Level
from tidegate.stream.ports import shared_addresses
from tidegate.stream.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tidegate.engine.loop import Engine

# Places of sessions that one turn of the loop looks at: where all have to end, that is some 2 ms.
PLACES_AT_ONCE: Final = 128
# A session that has no relay yet may still go to a node that is no more: it is looked at again.
AGAIN_SECONDS: Final = 0.25


STREAM: Final = "stream"
HTTP: Final = "http"


class Drop:
    """One look through the sessions of a worker, in steps; `servers` are those now in force."""

    def __init__(
        self,
        engine: Engine,
        stream: model.Stream,
        servers: Iterable[object],
        *,
        block: str = STREAM,
    ) -> None:
        """`block` says whose sessions it is about: those of stream, or of http."""
        self._engine = engine
        self._block = block
        shared = shared_addresses(stream)
        self._wanted = {
            listen.address.text: drops(server)
            for server in stream.servers
            for listen in server.listens
            if listen.address.text not in shared
        }
        self._nodes = {
            one.name: frozenset(peer.address.text for peer in one.peers if not peer.down)
            for one in stream.upstreams
        }
        self._anywhere = frozenset().union(*self._nodes.values())
        self._servers = frozenset(map(id, servers))
        self._place = 0
        self._undecided = False
        self._next: asyncio.Handle | None = None

    def begin(self) -> None:
        """Look through them, and again while some may still choose from what was."""
        self._place, self._undecided = 0, False
        self._step()

    def cancel(self) -> None:
        """Look no further: others are in force."""
        if self._next is not None:
            self._next.cancel()

    def _step(self) -> None:
        loop = asyncio.get_running_loop()
        found = self._engine.owners(self._place, PLACES_AT_ONCE)
        if found is not None:
            for handle, owner, relays in found:
                self._look(handle, owner, relays=relays)
            self._place += PLACES_AT_ONCE
            self._next = loop.call_soon(self._step)
        elif self._undecided:
            self._next = loop.call_later(AGAIN_SECONDS, self.begin)

    def _look(self, handle: int, session: object, *, relays: bool) -> None:
        if not isinstance(session, Session):
            self._undecided = True
            return
        if session.block != self._block or (session.peer < 0 and self._block == HTTP):
            return
        server = session.server
        own = session.way or server.proxy
        if not self._wanted.get(session.port.address, own is None or own.session_drop):
            return
        if own is not None and session.peer >= 0 and self._gone(session):
            session.say(Level.INFO, "upstream server was removed, closing session", session.address)
            self._engine.close_session(handle)
        elif not relays and id(server) not in self._servers:
            self._undecided = True

    def _gone(self, session: Session) -> bool:
        upstream = session.proxy.upstream
        if isinstance(upstream, Single):
            return False
        return session.address not in self._nodes.get(upstream.name, self._anywhere)


def drops(server: model.Server) -> bool:
    """Whether a server has `proxy_session_drop on`."""
    return isinstance(server.content, model.Proxy) and server.content.session_drop
