"""nginx's ring of `hash … consistent`, bit for bit that of Cache::Memcached::Fast (B3).

Each server has 160 points for each unit of weight on a circle of 2**32 places; a key belongs to
the first point at its own place or after it. A server's points are made from the text in the
configuration, so all addresses of a name share them, and they stay where they are when other
servers come and go.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tidegate.config.model import Peer

POINTS = 160  # for each unit of weight


class Ring:
    """Where each point is, and the number of its server in `server_numbers`."""

    __slots__ = ("places", "servers")

    def __init__(self, peers: Sequence[Peer]) -> None:
        numbers = server_numbers(peers)
        owners: dict[int, int] = {}
        done: dict[str, int] = {}
        for peer in peers:
            # The points of a second address, or of the same text again, are there already.
            if peer.backup or done.get(peer.name, 0) >= peer.weight:
                continue
            done[peer.name] = peer.weight
            number = numbers[peer.name]
            for place in points(peer.name, peer.weight):
                owners.setdefault(place, number)
        self.places = array("I", sorted(owners))
        kind = "H" if len(numbers) <= 1 << 16 else "I"
        self.servers = array(kind, [owners[place] for place in self.places])

    def find(self, key: bytes) -> int:
        """Index of the key's point; as many as there are points when it is the first one again."""
        return bisect_left(self.places, crc32(key))


def points(server: str, weight: int) -> Iterator[int]:
    """The places of a server of that weight, in the order in which they come into being."""
    base = crc32(server_key(server.encode("utf-8", "surrogateescape")))
    place = 0
    for _ in range(POINTS * weight):
        place = crc32(place.to_bytes(4, "little"), base)
        yield place


def server_key(server: bytes) -> bytes:
    """Host and port of a `server` as they are hashed: `unix:` and the colon are left out."""
    if server[:5].lower() == b"unix:":
        return server[5:] + b"\0"
    host, colon, port = server.rpartition(b":")
    if colon and not port.strip(b"0123456789"):
        return host + b"\0" + port
    return server + b"\0"


def server_numbers(peers: Sequence[Peer]) -> dict[str, int]:
    """A number for each text of `server`."""
    return {name: number for number, name in enumerate(dict.fromkeys(peer.name for peer in peers))}
