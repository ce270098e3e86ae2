"""Networks as configurations write them, by the rules of nginx's `ngx_ptocidr`."""

from __future__ import annotations

import socket

from tidegate.config.urls import ipv4
from tidegate.config.values import number
from tidegate.wire.network import Network

IPV4_BITS = 32
IPV6_BITS = 128


class NetworkError(ValueError):
    """A text that is no network."""


def parse_network(text: str) -> tuple[Network, bool]:
    """Read `10.0.0.0/8`, `fd00::/8` or an address alone; raises NetworkError.

    The second value tells that address bits below the mask were set: nginx warns that `low address
    bits of X are meaningless`, and clears them.
    """
    host, slash, prefix = text.partition("/")
    family, packed = _packed(host)
    bits = IPV4_BITS if family == socket.AF_INET else IPV6_BITS
    length = number(prefix) if slash else bits
    if packed is None or length is None or length > bits:
        raise NetworkError(text)
    value = int.from_bytes(packed, "big")
    mask = (1 << bits) - (1 << bits - length)
    network = Network(family=family, base=value & mask, mask=mask)
    return network, network.base != value


def _packed(host: str) -> tuple[int, bytes | None]:
    literal = ipv4(host)
    if literal is not None:
        return int(socket.AF_INET), socket.inet_pton(socket.AF_INET, literal)
    try:
        return int(socket.AF_INET6), socket.inet_pton(socket.AF_INET6, host)
    except (OSError, ValueError):
        return int(socket.AF_INET6), None
