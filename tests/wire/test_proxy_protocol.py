"""The header is written as the specification's examples say."""

from __future__ import annotations

import socket

import pytest

from tidegate.wire.address import Address
from tidegate.wire.crc32c import crc32c
from tidegate.wire.proxy_protocol import encode_v1, encode_v2, parse
from tidegate.wire.tlvs import find, make, make_tls

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


V4 = (socket.AF_INET, "192.168.0.1", 56324), (socket.AF_INET, "192.168.0.11", 443)
V6 = (socket.AF_INET6, "2001:db8::7", 4242), (socket.AF_INET6, "::1", 1883)


def test_the_checksum_is_that_of_rfc_3720():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_v2_for_ipv4_is_as_the_specification_says():
    header = encode_v2(*V4)
    assert header[:16] == b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x13"
    assert header[16:28] == bytes([192, 168, 0, 1, 192, 168, 0, 11]) + b"\xdc\x04\x01\xbb"
    assert header[28:31] == b"\x03\x00\x04"
    assert int.from_bytes(header[31:], "big") == crc32c(header[:31] + bytes(4))


@pytest.mark.parametrize(("client", "server"), [V4, V6, (V4[0], V6[1]), (V6[0], V4[1])])
def test_v2_tells_what_version_1_tells(client, server):
    first = parse(encode_v1(client, server)).proxied
    header = encode_v2(client, server)
    told = parse(header)
    assert told.size == len(header)
    assert (told.proxied.source, told.proxied.source_port) == (first.source, first.source_port)
    assert told.proxied.destination == first.destination
    assert told.proxied.destination_port == first.destination_port


def test_v2_tells_nothing_of_a_client_of_a_unix_socket():
    header = encode_v2((socket.AF_UNIX, "", 0), V4[1])
    assert header[12:14] == b"\x21\x00"
    assert parse(header).proxied is None


@pytest.mark.parametrize(
    ("certified", "verified", "bits", "verify"),
    [(True, True, 3, 0), (True, False, 3, 1), (False, False, 1, 1)],
)
def test_v2_tells_of_tls(certified, verified, bits, verify):
    told = {"ssl_version": "TLSv1.3", "ssl_cn": "device-7é", "ssl_cipher": None}
    values = make(2, b"a.example") + make_tls(told, certified=certified, verified=verified)
    tlvs = parse(encode_v2(*V4, values)).proxied.tlvs
    assert find(tlvs, "authority") == "a.example"
    assert find(tlvs, "ssl_version") == "TLSv1.3"
    assert find(tlvs, "ssl_cn") == "device-7é"
    assert find(tlvs, "ssl_cipher") is None
    assert find(tlvs, "ssl_verify") == str(verify)
    assert ord(find(tlvs, "ssl")[0]) == bits


def test_v2_never_is_longer_than_readers_take():
    told = dict.fromkeys(("ssl_version", "ssl_cn", "ssl_cipher", "ssl_sig_alg"), "x" * 9000)
    values = make(1, bytes(255)) + make(2, bytes(9000))
    header = encode_v2(*V6, values + make_tls(told, certified=True, verified=True))
    assert parse(header).size == len(header) <= 4096
