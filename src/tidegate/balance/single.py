"""One address that is in no upstream: what `proxy_pass $variable` may say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config import model

if TYPE_CHECKING:
    from tidegate.balance.attempt import Attempt
    from tidegate.wire.address import Address


class Single:
    """As an `Upstream` of one peer for whoever uses it; as in nginx nothing of it is counted."""

    __slots__ = ("name", "peers")

    tries = 1
    times = None
    unlocked = 0

    def __init__(self, address: Address) -> None:
        self.name = address.text
        self.peers = (
            model.Peer(
                address=address,
                name=address.text,
                weight=1,
                max_conns=0,
                max_fails=1,
                fail_timeout=10,
                down=False,
                backup=False,
            ),
        )

    def pick(self, attempt: Attempt, /) -> int:
        """The address, once for each session; then -1."""
        attempt.last = -1 if attempt.rounds else 0
        attempt.rounds += 1
        return attempt.last

    def pick_this(self, _index: int, _tried: bytearray | None) -> bool:
        """Reserve it; nobody remembers addresses that are in no upstream."""
        return False

    def release(self, _index: int, *, failed: bool) -> bool:
        """Give it back; it is never out of service."""
        del failed
        return False

    def cancel(self, _index: int) -> None:
        """Give it back unasked."""

    def connected(self, _index: int) -> None:
        """A connect succeeded."""

    def failing(self, _index: int) -> bool:
        """Whether failures are counted for it: never."""
        return False

    def closed_early(self, _index: int) -> int:
        """Sessions in a row that it closed before its first byte: not counted."""
        return 0

    def note_failure(self, _index: int, _why: int, _when: int, /) -> None:
        """Keep why it failed: nobody would look for it here."""

    def answered(self, _index: int) -> None:
        """It sent a byte."""
