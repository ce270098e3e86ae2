"""Addresses of `proxy_bind`, whole; that nginx takes the same is tested beside it."""

import socket

import pytest

from tidegate.wire.local_address import read_local_address

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1", (V4, "127.0.0.1", 0)),
        ("127.0.0.1:99", (V4, "127.0.0.1", 99)),
        ("127.0.0.1:65535", (V4, "127.0.0.1", 65535)),
        ("127.000.0.010:00099", (V4, "127.0.0.10", 99)),
        ("[127.0.0.1]:99", (V4, "127.0.0.1", 99)),
        ("::1", (V6, "::1", 0)),
        ("FD00:0::1", (V6, "fd00::1", 0)),
        ("[fd00::1]:99", (V6, "fd00::1", 99)),
        ("::ffff:10.0.0.1", (V6, "::ffff:10.0.0.1", 0)),
    ],
)
def test_an_address_is_read(text, expected):
    found = read_local_address(text)
    assert (found.family, found.host, found.port) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":",
            ":99",
            "eth0",
            "unix:",
            "unix:/a",
            "localhost",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
        ),
        *("127.0.0.1:", "127.0.0.1:x", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1"),
        *("127.0.0.1:99:99", "127.0.0.1 ", " 127.0.0.1", "127.0.0.1:+9", "127.0.0.1:٩", "1:2:3"),
        *("[::1]", "[::1", "[::1]9", "[::1]:", "[::1]:0", "::1]:9", "[]:9", "fe80::1%lo", "a\0b"),
        "127.0.0.1:" + "9" * 70_000,
        "0" * 70_000,
        "é",
        "\udc80",
    ],
)
def test_what_is_none_is_none(text):
    assert read_local_address(text) is None
