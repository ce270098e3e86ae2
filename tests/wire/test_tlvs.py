"""TLVs of PROXY headers: read as nginx reads them, kept only where they are asked for."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.proxy_headers import tlv
from tidegate.wire.tlvs import TYPES, find, only, type_of

TLS = struct.pack("!BI", 5, 18) + b"".join(
    tlv(kind, value)
    for kind, value in (
        (0x21, b"TLSv1.3"),
        (0x22, b"device-7"),
        (0x23, b"AES"),
        (0x24, b"SHA256"),
        (0x25, b"RSA2048"),
    )
)
ALL = b"".join(
    tlv(kind, value)
    for kind, value in (
        (0x04, bytes(9)),
        (0x01, b"mqtt"),
        (0x02, b"example.org"),
        (0x02, b"another"),
        (0x05, b"id-1"),
        (0x20, TLS),
        (0x30, b"ns0"),
        (0xEA, b"\1vpce-08d2"),
        (0xEE, b"\1\x04\x03\x02\x01"),
        (0xE0, b"raw\xff"),
    )
)
TOLD = {
    "alpn": "mqtt",
    "authority": "example.org",
    "unique_id": "id-1",
    "netns": "ns0",
    "ssl": TLS.decode("utf-8", "surrogateescape"),
    "ssl_version": "TLSv1.3",
    "ssl_cn": "device-7",
    "ssl_cipher": "AES",
    "ssl_sig_alg": "SHA256",
    "ssl_key_alg": "RSA2048",
    "ssl_verify": "18",
    "aws_vpce_id": "vpce-08d2",
    "azure_pel_id": "16909060",
    "0xe0": "raw\udcff",
    "0x5": "id-1",
    "0x06": None,
}


@pytest.mark.parametrize("name", TOLD)
def test_each_name_tells_its_value(name):
    assert find(ALL, name) == TOLD[name]
    kind = type_of(name)
    assert find(only(ALL, {kind}), name) == TOLD[name]
    assert find(only(ALL, set(range(256)) - {kind}), name) is None


def test_each_name_is_here():
    assert TYPES.keys() <= TOLD.keys()


@pytest.mark.parametrize("name", ["", "0x", "0xg0", "0x100", "crc", "0x-1", "ssl_", "0x 1", "0x1_"])
def test_other_names_have_no_type(name):
    assert type_of(name) is None


def test_of_each_type_only_the_first_is_kept():
    assert only(ALL, {0x02, 0x05}) == tlv(0x02, b"example.org") + tlv(0x05, b"id-1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("aws_vpce_id", value) for value in (b"", b"\2vpce-1")),
        *(("azure_pel_id", value) for value in (b"", b"\1", b"\2abcd", b"\1\0\0\0")),
        *(("ssl_cn", value) for value in (b"", b"\1\0\0\0\0", b"\1\0\0\0\0\x22\0\5abc")),
        *(("ssl_verify", value) for value in (b"", b"\1\0\0\0")),
    ],
)
def test_broken_ones_tell_nothing(name, value):
    assert find(tlv(TYPES[name], value), name) is None


@given(st.binary(max_size=60), st.sampled_from(sorted(TOLD)))
def test_garbage_is_never_an_error(data, name):
    found = find(data, name)
    assert found is None or isinstance(found, str)
    kept = only(data, {type_of(name)})
    assert len(kept) <= len(data)
    assert find(kept, name) == found
