"""Where a socket is: an IPv4, IPv6 or Unix address as configuration, logs and sockets spell it."""

from __future__ import annotations

import socket
from dataclasses import dataclass


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
