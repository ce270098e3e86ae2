"""A session whose node is judged by its first words: it may be left for another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.model import Level
from tidegate.health import failure
from tidegate.stream.preread import PrereadSession
from tidegate.stream.session import tried_so_far

if TYPE_CHECKING:
    from tidegate.engine.outcome import Outcome
    from tidegate.stream.server import Port


class JudgedSession(PrereadSession):
    """`node_failed` tells that the node that the session has did not serve it."""

    __slots__ = ("node_failed",)

    def __init__(self, port: Port, handle: int) -> None:
        super().__init__(port, handle)
        self.node_failed = False

    def next_node(self, told: str, why: int, *, failed: bool) -> Outcome | None:
        """Leave this node for another; None where no other may be asked or is alive.

        What the node did counts for it either way; with None the session still has it.
        """
        proxy = self.proxy
        self.node_failed = failed
        if failed:
            failure.note(proxy.upstream, self.peer, why)
        self.say(Level.ERROR if failed else Level.NOTICE, told, self.address)
        if not proxy.may_try_again(len(self.failed) + 1, self.age_ms):
            return None
        other = self.reserve(proxy)
        if other < 0:
            return None
        self.failed = (*self.failed, tried_so_far(self.address, self.progress))
        left, self.peer = self.peer, other
        self.node_failed = False
        if proxy.upstream.release(left, failed=failed):
            address = proxy.upstream.peers[left].address.text
            self.say(Level.WARN, "upstream server temporarily disabled", address)
        return self.go(proxy)
