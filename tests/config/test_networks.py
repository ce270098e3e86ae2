"""Networks are read as nginx reads them, and hold the addresses that they should."""

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config.networks import NetworkError, parse_network
from tidegate.wire.network import Network, holds, number_of

UNIX = Network(family=socket.AF_UNIX)


def inside(network, host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return holds([parse_network(network)[0]], family, host)


@pytest.mark.parametrize(
    ("network", "host", "is_in"),
    [
        ("127.0.0.0/8", "127.255.0.1", True),
        ("127.0.0.0/8", "128.0.0.1", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("0.0.0.0/0", "255.255.255.255", True),
        ("0.0.0.0/0", "::1", False),
        ("::/0", "2001:db8::1", True),
        ("::/0", "10.0.0.1", False),
        ("fd00::/8", "fdff::1", True),
        ("fd00::/8", "fe00::1", False),
        ("2001:db8::1", "2001:db8:0:0:0:0:0:1", True),
        ("10.0.0.0/8", "::ffff:10.2.3.4", True),
        ("10.0.0.0/8", "::ffff:11.2.3.4", False),
        ("010.0.0.0/08", "10.2.3.4", True),
        ("fe80::/10", "fe80::1%lo", True),
    ],
)
def test_an_address_is_in_a_network_or_not(network, host, is_in):
    assert inside(network, host) is is_in


def test_unix_sockets_are_one_network():
    assert holds([UNIX], socket.AF_UNIX, "")
    assert holds([UNIX], socket.AF_UNIX, "/run/x.sock")
    assert not holds([UNIX], socket.AF_INET, "127.0.0.1")
    assert not holds([parse_network("0.0.0.0/0")[0]], socket.AF_UNIX, "")
    assert not holds([], socket.AF_UNIX, "")


@pytest.mark.parametrize(
    ("text", "low_bits"),
    [("10.0.0.1/8", True), ("10.0.0.0/8", False), ("10.0.0.1", False), ("::1/64", True)],
)
def test_bits_below_the_mask_are_told(text, low_bits):
    network, told = parse_network(text)
    assert told is low_bits
    assert network.base & network.mask == network.base


BAD_LENGTHS = ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "10.0.0.0/-1", "::1/129", "10.0.0.0/8/8"]
BAD_ADDRESSES = ["", "/", "10.0.0/8", "10.0.0.256", "1.2.3.4.5", "[::1]", "name", "all", "\0", "é"]


@pytest.mark.parametrize("text", [*BAD_LENGTHS, *BAD_ADDRESSES, "unix:"])
def test_what_is_no_network_is_an_error(text):
    with pytest.raises(NetworkError):
        parse_network(text)


@given(st.ip_addresses(), st.integers(0, 128), st.ip_addresses())
def test_the_standard_library_agrees(base, length, other):
    length = min(length, base.max_prefixlen)
    expected = ipaddress.ip_network((base, length), strict=False)
    network, low_bits = parse_network(f"{base}/{length}")
    mapped = getattr(other, "ipv4_mapped", None)
    assert low_bits == (expected.network_address != base)
    family = socket.AF_INET if other.version == 4 else socket.AF_INET6
    assert number_of(family, str(other))[1] == int(mapped or other)
    assert holds([network], family, str(other)) == ((mapped or other) in expected)
    assert holds([network], int(network.family), str(base)) or getattr(base, "ipv4_mapped", None)
