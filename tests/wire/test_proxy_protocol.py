"""The header is what the specification's examples say."""

from __future__ import annotations

import socket

import pytest

from tidegate.wire.address import Address
from tidegate.wire.proxy_protocol import encode_v1

LONGEST = 107  # bytes, by the specification


def test_v1_for_ipv4():
    client = (socket.AF_INET, "192.168.0.1", 56324)
    server = (socket.AF_INET, "192.168.0.11", 443)
    assert encode_v1(client, server) == b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"


def test_v1_for_ipv6_is_never_longer_than_the_specification_allows():
    widest = (socket.AF_INET6, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535)
    header = encode_v1(widest, widest)
    assert header.startswith(b"PROXY TCP6 ffff:")
    assert header.endswith(b" 65535 65535\r\n")
    assert len(header) <= LONGEST


@pytest.mark.parametrize(
    ("client", "server"),
    [
        ((socket.AF_UNIX, "", 0), (socket.AF_UNIX, "/run/gate.sock", 0)),
        ((socket.AF_INET, "10.0.0.1", 1), (socket.AF_INET6, "::1", 1)),
    ],
)
def test_v1_is_unknown_where_no_pair_of_addresses_can_be_told(client, server):
    assert encode_v1(client, server) == b"PROXY UNKNOWN\r\n"


@pytest.mark.parametrize(
    ("address", "text", "sockaddr"),
    [
        (
            Address(family=socket.AF_INET, host="10.0.0.1", port=1883),
            "10.0.0.1:1883",
            ("10.0.0.1", 1883),
        ),
        (Address(family=socket.AF_INET6, host="::1", port=1883), "[::1]:1883", ("::1", 1883)),
        (Address(family=socket.AF_UNIX, host="/run/b.sock"), "unix:/run/b.sock", "/run/b.sock"),
    ],
)
def test_addresses_print_as_nginx_prints_them(address, text, sockaddr):
    assert address.text == text
    assert address.sockaddr == sockaddr
