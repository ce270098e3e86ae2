"""Addresses survive the way to the kernel's form and back."""

from __future__ import annotations

import socket

import pytest

from tidegate.engine.address import pack_address, unpack_address


@pytest.mark.parametrize(
    ("family", "host", "port"),
    [
        (socket.AF_INET, "127.0.0.1", 1883),
        (socket.AF_INET, "255.255.255.255", 65535),
        (socket.AF_INET6, "::1", 0),
        (socket.AF_INET6, "2001:db8::ff", 8883),
        (socket.AF_UNIX, "/run/broker.sock", 0),
        (socket.AF_UNIX, "/run/br\udcffker.sock", 0),
    ],
)
def test_there_and_back(family, host, port):
    assert unpack_address(pack_address(family, host, port)) == (family, host, port)


@pytest.mark.parametrize(
    ("family", "host", "port"),
    [
        (socket.AF_INET, "::1", 1),
        (socket.AF_INET6, "127.0.0.1", 1),
        (socket.AF_INET, "broker", 1),
        (socket.AF_INET, "brök", 1),
        (socket.AF_INET, "127.0.0.1", 65536),
        (socket.AF_INET, "127.0.0.1", -1),
        (socket.AF_UNIX, "", 0),
        (socket.AF_UNIX, "x" * 108, 0),
        (socket.AF_UNIX, "a\0b", 0),
        (99, "127.0.0.1", 1),
    ],
)
def test_what_is_no_address_is_refused(family, host, port):
    with pytest.raises(ValueError, match="no "):
        pack_address(family, host, port)


@pytest.mark.parametrize(
    "packed", [b"", b"\x02", b"\x02\x00", b"\x0a\x00" + b"x" * 10, b"\xff\xff"]
)
def test_bytes_that_are_no_address_are_refused(packed):
    with pytest.raises(ValueError, match="no packed address"):
        unpack_address(packed)


def test_a_client_on_a_unix_socket_has_no_name():
    assert unpack_address(socket.AF_UNIX.to_bytes(2, "little")) == (socket.AF_UNIX, "", 0)
