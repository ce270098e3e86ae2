"""The PROXY protocol: a header in front of a connection that names the real client.

Source: the PROXY protocol specification, versions 1 and 2 (haproxy.org, doc/proxy-protocol.txt).
"""

from __future__ import annotations

import socket

# (family, host, port), as `engine.address.unpack_address` gives it.
Endpoint = tuple[int, str, int]

_V1_FAMILIES = {int(socket.AF_INET): "TCP4", int(socket.AF_INET6): "TCP6"}


def encode_v1(client: Endpoint, server: Endpoint) -> bytes:
    """The version 1 header for a client that connected to `server`.

    A connection over a Unix socket has no address that the header could carry: it is UNKNOWN.
    """
    family = _V1_FAMILIES.get(client[0])
    if family is None or client[0] != server[0]:
        return b"PROXY UNKNOWN\r\n"
    return f"PROXY {family} {client[1]} {server[1]} {client[2]} {server[2]}\r\n".encode("ascii")
