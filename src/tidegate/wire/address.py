"""Where a socket is: an IPv4, IPv6 or Unix address as configuration, logs and sockets spell it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

WILDCARDS: Final[Mapping[int, str]] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # noqa: S104 - compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One socket address; `host` is an IP literal without brackets, or a Unix socket's path."""

    family: int
    host: str
    port: int = 0

    @property
    def text(self) -> str:
        """As nginx prints it: `10.0.0.1:1883`, `[::1]:1883`, `unix:/run/broker.sock`."""
        if self.family == socket.AF_UNIX:
            return f"unix:{self.host}"
        if self.family == socket.AF_INET6:
            return f"[{self.host}]:{self.port}"
        return f"{self.host}:{self.port}"

    @property
    def sockaddr(self) -> tuple[str, int] | str:
        """What Python's `socket.bind` and `connect` take."""
        if self.family == socket.AF_UNIX:
            return self.host
        return (self.host, self.port)


def listening_for(wanted: Address, known: Mapping[str, T]) -> T | None:
    """What listens where a connection to an address comes: there, or at any address of its port.

    `known` is by address as text.
    """
    found = known.get(wanted.text)
    anywhere = WILDCARDS.get(wanted.family)
    if found is None and anywhere is not None:
        found = known.get(Address(family=wanted.family, host=anywhere, port=wanted.port).text)
    return found
