"""Which of several addresses is the client's, as nginx's real_ip_recursive has it."""

from __future__ import annotations

import socket

import pytest

from tidegate.http.realip import believed, read_address
from tidegate.wire.network import Network, holds

PEER = (socket.AF_INET, "10.0.0.1", 1000)


def network(text):
    address, _, bits = text.partition("/")
    mask = (0xFFFFFFFF << (32 - int(bits))) & 0xFFFFFFFF
    base = int.from_bytes(socket.inet_aton(address), "big") & mask
    return Network(family=socket.AF_INET, base=base, mask=mask)


TRUSTED = (network("10.0.0.0/8"),)


def client(told, *, recursive):
    found = believed(PEER, [one.encode() for one in told], TRUSTED, recursive=recursive)
    return None if found is None else found[1]


@pytest.mark.parametrize(
    ("told", "recursive", "found"),
    [
        (["1.1.1.1"], False, "1.1.1.1"),
        (["1.1.1.1", "2.2.2.2"], False, "2.2.2.2"),
        (["1.1.1.1", "10.0.0.2"], False, "10.0.0.2"),
        (["1.1.1.1", "10.0.0.2"], True, "1.1.1.1"),
        (["1.1.1.1", "2.2.2.2", "10.0.0.2"], True, "2.2.2.2"),
        (["10.0.0.3", "10.0.0.2"], True, "10.0.0.3"),
        (["1.1.1.1", "unknown"], True, None),
        (["unknown", "10.0.0.2"], True, "10.0.0.2"),
        ([], True, None),
    ],
)
def test_the_last_address_that_somebody_trusted_tells(told, recursive, found):
    assert client(told, recursive=recursive) == found


def test_who_is_not_trusted_is_not_believed():
    assert not holds(TRUSTED, socket.AF_INET, "11.0.0.1")
    stranger = (socket.AF_INET, "11.0.0.1", 1)
    assert believed(stranger, [b"1.1.1.1"], TRUSTED, recursive=True) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1.2.3.4", (socket.AF_INET, "1.2.3.4", 0)),
        ("1.2.3.4:5", (socket.AF_INET, "1.2.3.4", 5)),
        ("::1", (socket.AF_INET6, "::1", 0)),
        ("[::1]:5", (socket.AF_INET6, "::1", 5)),
        ("a", None),
        ("1.2.3.4:x", None),
        ("[::1", None),
    ],
)
def test_addresses_with_and_without_ports(text, found):
    assert read_address(text) == found
