"""`hash KEY`: the node that Cache::Memcached would choose for the key (B2)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from tidegate.balance.rehash import Rehash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.config.model import Peer
    from tidegate.scoreboard.group import Group


class Hash(Rehash):
    """Without a key it is round robin."""

    __slots__ = ()

    def __init__(self, peers: Sequence[Peer], group: Group) -> None:
        super().__init__(peers, group, start=0, following=following)


def following(number: int, key: bytes, round_: int) -> int:
    """The number of `key` after `number`; from the second on, the round's own is hashed too."""
    text = b"%d%b" % (round_, key) if round_ else key
    return number + ((crc32(text) >> 16) & 0x7FFF)
