"""`geo`: the value of the network, or the range of addresses, that a client is in."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from tidegate.dataclasses import dataclass
from tidegate.wire.network import Network, holds, number_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidegate.variables.intervals import Intervals
    from tidegate.variables.values import S

# What nginx looks up for what is no IP address: 255.255.255.255.
NO_ADDRESS: Final = (1 << 32) - 1

# Where a trusted client tells whom it speaks for.
TOLD_ADDRESS: Final = "proxy_protocol_addr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Geo:
    """One `geo`: the addresses of each family with their values, and the variable looked up.

    `proxies` are clients who may tell the address to look up instead of their own.
    """

    address: str
    inet: Intervals
    inet6: Intervals
    proxies: tuple[Network, ...]

    def find(self, address: str | None) -> str:
        """The value of an address; one that is none counts as 255.255.255.255."""
        family, host = family_of(address)
        if not family:
            return self.inet.find(NO_ADDRESS)
        family, number = number_of(family, host)
        return (self.inet if family == socket.AF_INET else self.inet6).find(number)


def family_of(address: str | None) -> tuple[int, str]:
    """The family of an address, and the address; 0 for what is none."""
    text = address or ""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    if text[:1] == "0" or ".0" in text:
        # nginx reads octets in decimal, zeros before them or not.
        text = ".".join([octet.lstrip("0") or octet[:1] for octet in text.split(".")])
    try:
        socket.inet_pton(family, text)
    except (OSError, ValueError):
        return 0, ""
    return int(family), text


def finder(geo: Geo, getters: Mapping[str, Callable[[S], str | None]]) -> Callable[[S], str]:
    """A function that gives the value for a session."""
    own = getters[geo.address]
    told = getters.get(TOLD_ADDRESS)
    if not geo.proxies or told is None:
        return lambda session: geo.find(own(session))

    def read(session: S) -> str:
        address = own(session)
        family, host = family_of(address)
        if family and holds(geo.proxies, family, host):
            return geo.find(told(session) or address)
        return geo.find(address)

    return read
