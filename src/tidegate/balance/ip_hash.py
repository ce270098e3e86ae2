"""`ip_hash`: all clients of one network come to one node, as in nginx's http (B5)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tidegate.balance.rehash import Rehash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.config.model import Peer
    from tidegate.scoreboard.group import Group

OCTETS = 3  # of an IPv4 address: its /24
PRIME = 6271


class IpHash(Rehash):
    """The key is `key_of` the client."""

    __slots__ = ()

    def __init__(self, peers: Sequence[Peer], group: Group) -> None:
        super().__init__(peers, group, start=89, following=following)


def following(number: int, key: bytes, _round: int) -> int:
    """The number of `key` after `number`."""
    for octet in key:
        number = (number * 113 + octet) % PRIME
    return number


def key_of(family: int, host: str) -> bytes:
    """What of a client's address counts: the /24 of an IPv4 one, all of an IPv6 one.

    `host` is an IP literal, with or without a zone; clients on Unix sockets are all alike.
    """
    if family == socket.AF_INET:
        return socket.inet_pton(family, host)[:OCTETS]
    if family == socket.AF_INET6:
        return socket.inet_pton(family, host.partition("%")[0])
    return bytes(OCTETS)
