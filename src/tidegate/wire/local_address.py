"""Addresses as `proxy_bind` takes them, by the rules of nginx's `ngx_parse_addr_port`."""

from __future__ import annotations

import socket

from tidegate.wire.address import Address

LAST_PORT = 65535


def read_local_address(text: str) -> Address | None:
    """The address in `1.2.3.4`, `1.2.3.4:5`, `::1` or `[::1]:5`; None for what is none.

    Port 0, which is any, is what is left out. IPv4 octets may have leading zeros.
    """
    plain = _address(text, 0)
    if plain is not None:
        return plain
    host, colon, digits = text.rpartition(":")
    if not colon or not (digits.isascii() and digits.isdigit()):
        return None
    # More digits than any port has; a variable may give thousands.
    port = int(digits.lstrip("0")[:6] or "0")
    if not 1 <= port <= LAST_PORT:
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    return _address(host, port)


def _address(host: str, port: int) -> Address | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if family == socket.AF_INET:
        host = ".".join([octet.lstrip("0") or octet[:1] for octet in host.split(".")])
    try:
        packed = socket.inet_pton(family, host)
    except (OSError, ValueError):
        return None
    return Address(family=family, host=socket.inet_ntop(family, packed), port=port)
