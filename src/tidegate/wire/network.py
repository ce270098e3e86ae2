"""Sets of addresses, as `set_real_ip_from 10.0.0.0/8` and its like name them."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# ::ffff:0:0/96, the IPv6 addresses that are IPv4 ones.
MAPPED = 0xFFFF
IPV4_BITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Addresses of one family: those whose number and `mask` make `base`; of AF_UNIX all."""

    family: int
    base: int = 0
    mask: int = 0


def number_of(family: int, host: str) -> tuple[int, int]:
    """Family and number of an address; an IPv4 one inside IPv6 counts as IPv4, as in nginx.

    `host` is an IP literal, with or without a zone; Unix sockets are all 0.
    """
    if family == socket.AF_INET:
        return family, int.from_bytes(socket.inet_pton(family, host), "big")
    if family != socket.AF_INET6:
        return family, 0
    number = int.from_bytes(socket.inet_pton(family, host.partition("%")[0]), "big")
    if number >> IPV4_BITS == MAPPED:
        return int(socket.AF_INET), number & (1 << IPV4_BITS) - 1
    return family, number


def holds(networks: Iterable[Network], family: int, host: str) -> bool:
    """Whether an address is in one of the networks."""
    family, number = number_of(family, host)
    return any(one.family == family and number & one.mask == one.base for one in networks)
