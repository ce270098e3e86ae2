"""The header is written as the specification's examples say."""

from __future__ import annotations

import socket

import pytest

from tidegate.wire.address import Address
from tidegate.wire.proxy_protocol import encode_v1, parse

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
    "server",
    [(socket.AF_UNIX, "/run/gate.sock", 0), (socket.AF_INET, "10.0.0.1", 1883)],
)
def test_v1_is_unknown_for_a_client_of_a_unix_socket(server):
    assert encode_v1((socket.AF_UNIX, "", 0), server) == b"PROXY UNKNOWN\r\n"


@pytest.mark.parametrize(
    ("client", "server", "line"),
    [
        (
            (socket.AF_INET6, "2001:db8::7", 4242),
            (socket.AF_INET, "10.0.0.1", 1883),
            b"PROXY TCP6 2001:db8::7 ::ffff:10.0.0.1 4242 1883\r\n",
        ),
        (
            (socket.AF_INET, "203.0.113.7", 4242),
            (socket.AF_INET6, "::1", 1883),
            b"PROXY TCP6 ::ffff:203.0.113.7 ::1 4242 1883\r\n",
        ),
        (
            (socket.AF_INET, "203.0.113.7", 4242),
            (socket.AF_UNIX, "/run/gate.sock", 0),
            b"PROXY TCP4 203.0.113.7 0.0.0.0 4242 0\r\n",
        ),
        (
            (socket.AF_INET6, "2001:db8::7", 4242),
            (socket.AF_UNIX, "/run/gate.sock", 0),
            b"PROXY TCP6 2001:db8::7 :: 4242 0\r\n",
        ),
    ],
)
def test_v1_tells_a_client_that_a_header_named_whatever_socket_it_came_by(client, server, line):
    assert encode_v1(client, server) == line
    told = parse(line).proxied
    assert told.source.removeprefix("::ffff:") == client[1]
    assert told.source_port == client[2]
    family = socket.AF_INET6 if line.startswith(b"PROXY TCP6") else socket.AF_INET
    assert socket.inet_pton(family, told.source)
    assert socket.inet_pton(family, told.destination)


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
