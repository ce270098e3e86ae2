"""What a PROXY protocol header of version 2 may tell behind the addresses: TLVs, read and made.

Source: the PROXY protocol specification, version 2, section 2.2; the names are those of nginx's
`$proxy_protocol_tlv_…` (ngx_proxy_protocol.c, and NGINX Plus for those of clouds).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

HEAD = 3  # type and length
LONGEST_TEXT = 255  # of what we tell of TLS: no name in a certificate may be longer
LONGEST = 2048  # a value of ours: readers take headers of 4096 bytes, nginx does
OCTET = (1, 2)  # hexadecimal digits
HEX = frozenset("0123456789abcdef")

SSL = 0x20
SSL_HEAD = 5  # what kind of client, and how its certificate was verified; TLVs follow
CLIENT_TLS = 0x01  # the client came by TLS
CLIENT_CERTIFICATE = 0x02  # and has shown a certificate in this connection
SSL_TYPES: Final = MappingProxyType(
    {
        "ssl_version": 0x21,
        "ssl_cn": 0x22,
        "ssl_cipher": 0x23,
        "ssl_sig_alg": 0x24,
        "ssl_key_alg": 0x25,
    }
)
ALPN = 0x01
AUTHORITY = 0x02
CRC32C = 0x03
AWS = 0xEA
AZURE = 0xEE
SUBTYPE = 0x01  # of both: the endpoint's ID
AZURE_ID = 4  # octets

TYPES: Final = MappingProxyType(
    {
        "alpn": ALPN,
        "authority": AUTHORITY,
        "unique_id": 0x05,
        "netns": 0x30,
        "ssl": SSL,
        "ssl_verify": SSL,
        **dict.fromkeys(SSL_TYPES, SSL),
        "aws_vpce_id": AWS,
        "azure_pel_id": AZURE,
    }
)


def type_of(name: str) -> int | None:
    """The type of the TLV that a name asks for, as `alpn` or `0xea`; None where there is none."""
    if name in TYPES:
        return TYPES[name]
    digits = name.removeprefix("0x")
    if digits == name or len(digits) not in OCTET or not HEX.issuperset(digits):
        return None
    return int(digits, 16)


def find(tlvs: bytes, name: str) -> str | None:
    """What the TLV of a name tells; None where there is none, or it is broken."""
    kind = type_of(name)
    if kind is None:
        return None
    value = _first(tlvs, kind)
    if value is None or name not in TYPES or name == "ssl":
        return _text(value)
    if kind == SSL:
        return _of_tls(value, name)
    if kind == AWS:
        return _text(value[1:]) if value[:1] == bytes([SUBTYPE]) else None
    if kind == AZURE:
        told = len(value) == 1 + AZURE_ID and value[0] == SUBTYPE
        return str(int.from_bytes(value[1:], "little")) if told else None
    return _text(value)


def only(tlvs: bytes, kinds: Collection[int]) -> bytes:
    """The TLVs of these types, of each the first: no more of them is ever asked for."""
    kept = {}
    for kind, value in _each(tlvs):
        if kind in kinds and kind not in kept:
            kept[kind] = bytes([kind]) + len(value).to_bytes(2, "big") + value
    return b"".join(kept.values())


def make(kind: int, value: bytes) -> bytes:
    """One TLV; values are cut to what fits."""
    value = value[:LONGEST]
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def make_tls(told: Mapping[str, str | None], *, certified: bool, verified: bool) -> bytes:
    """The TLV of a client's TLS; `told` are values by the names of SSL_TYPES.

    `certified` tells that the client has shown a certificate, `verified` that it holds.
    """
    client = CLIENT_TLS | CLIENT_CERTIFICATE if certified else CLIENT_TLS
    value = bytes([client]) + (0 if verified else 1).to_bytes(4, "big")
    for name, kind in SSL_TYPES.items():
        text = told.get(name)
        if text:
            value += make(kind, text.encode("utf-8", "surrogateescape")[:LONGEST_TEXT])
    return make(SSL, value)


def _of_tls(value: bytes, name: str) -> str | None:
    if len(value) < SSL_HEAD:
        return None
    if name == "ssl_verify":
        return str(int.from_bytes(value[1:SSL_HEAD], "big"))
    return _text(_first(value[SSL_HEAD:], SSL_TYPES[name]))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogateescape")


def _first(tlvs: bytes, kind: int) -> bytes | None:
    return next((value for one, value in _each(tlvs) if one == kind), None)


def _each(tlvs: bytes) -> Iterator[tuple[int, bytes]]:
    """Types and values, as far as they are whole."""
    at = 0
    while at + HEAD <= len(tlvs):
        end = at + HEAD + int.from_bytes(tlvs[at + 1 : at + HEAD], "big")
        if end > len(tlvs):
            return
        yield tlvs[at], tlvs[at + HEAD : end]
        at = end
