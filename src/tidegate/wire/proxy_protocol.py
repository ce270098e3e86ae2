"""The PROXY protocol: a header in front of a connection that names the real client.

Source: the PROXY protocol specification, versions 1 and 2 (haproxy.org, doc/proxy-protocol.txt).
What is read is what nginx reads (`ngx_proxy_protocol.c`), but for headers that come in pieces:
these are waited for.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidegate.wire import tlvs
from tidegate.wire.crc32c import crc32c
from tidegate.wire.quoted import quoted

if TYPE_CHECKING:
    from collections.abc import Collection

# (family, host, port), as `engine.address.unpack_address` gives it.
Endpoint = tuple[int, str, int]

WORD = b"PROXY "
LONGEST_LINE = 107  # version 1, its CRLF included
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FIXED = 16  # the part of version 2 that always is there
LONGEST = 4096  # nginx's bound for a header of version 2
LAST_PORT = 65535
LARGEST_OCTET = 255

# Command, transport and family of version 2; of others nginx takes the header and believes nothing.
VERSION = 2
PROXY = 1
STREAM = 1
FAMILIES = {1: (socket.AF_INET, 4), 2: (socket.AF_INET6, 16)}
PORTS = 4  # octets of both
EMPTY_CRC = tlvs.make(tlvs.CRC32C, bytes(4))  # what the checksum is made over

_ADDRESS = b"0123456789abcdefABCDEF:."
_V1_WORDS = {int(socket.AF_INET): "TCP4", int(socket.AF_INET6): "TCP6"}
_NOWHERE = {int(socket.AF_INET): "0.0.0.0", int(socket.AF_INET6): "::"}  # noqa: S104 - no address


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxied:
    """Who has connected to where, as a header tells.

    The addresses of version 1 are its own words, which need not be addresses at all.
    """

    source: str
    source_port: int
    destination: str
    destination_port: int
    tlvs: bytes = b""  # what version 2 has behind the addresses

    @property
    def client(self) -> Endpoint | None:
        """The source as an address; None where it is none."""
        octets = self.source.split(".")
        if len(octets) == 4 and all(_is_octet(octet) for octet in octets):  # noqa: PLR2004
            host = ".".join(str(int(octet)) for octet in octets)
            return int(socket.AF_INET), host, self.source_port
        try:
            packed = socket.inet_pton(socket.AF_INET6, self.source)
        except OSError:
            return None
        host = socket.inet_ntop(socket.AF_INET6, packed)
        return int(socket.AF_INET6), host, self.source_port


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A whole header: its `size` in bytes, and what it tells; nothing of an unknown client."""

    size: int
    proxied: Proxied | None


class HeaderError(ValueError):
    """What came is no header; the message is nginx's."""


def parse(data: bytes) -> Header | None:
    """Read the header that `data` begins with; None when more is needed. Raises HeaderError."""
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return parse_v2(data)
    if data[: len(WORD)] == WORD[: len(data)]:
        return parse_v1(data)
    raise broken(data)


def broken(data: bytes) -> HeaderError:
    """The error for bytes that are no header: their first line, without quotes of its own."""
    line = data.split(b"\r", 1)[0].split(b"\n", 1)[0]
    return HeaderError(f"broken header: {quoted(line.decode('utf-8', 'surrogateescape'))}")


def parse_v1(data: bytes) -> Header | None:
    """Read `PROXY TCP4 192.0.2.1 198.51.100.1 56324 1883` and its CRLF, as `parse`."""
    end = data.find(b"\n", 0, LONGEST_LINE)
    if end < 0:
        if len(data) >= LONGEST_LINE:
            raise broken(data)
        return None
    line = data[: end - 1]
    if data[end - 1 : end] != b"\r" or not line.startswith(WORD):
        raise broken(data)
    if line.startswith(WORD + b"UNKNOWN"):
        return Header(size=end + 1, proxied=None)
    words = line.split(b" ")
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):  # noqa: PLR2004
        raise broken(data)
    if words[2].strip(_ADDRESS) or words[3].strip(_ADDRESS):
        raise broken(data)
    ports = [int(word) if word.isdigit() else LAST_PORT + 1 for word in words[4:]]
    if max(ports) > LAST_PORT:
        raise broken(data)
    proxied = Proxied(
        source=words[2].decode("ascii"),
        source_port=ports[0],
        destination=words[3].decode("ascii"),
        destination_port=ports[1],
    )
    return Header(size=end + 1, proxied=proxied)


def parse_v2(data: bytes) -> Header | None:
    """Read a binary header, as `parse`."""
    version = data[12] >> 4 if len(data) > len(SIGNATURE) else VERSION
    if version != VERSION:
        raise HeaderError(f"unknown PROXY protocol version: {version}")
    if len(data) < FIXED:
        return None
    size = FIXED + int.from_bytes(data[14:16], "big")
    if size > LONGEST:
        raise HeaderError("header is too large")
    if len(data) < size:
        return None
    family, octets = FAMILIES.get(data[13] >> 4, (0, 0))
    if data[12] & 0x0F != PROXY or data[13] & 0x0F != STREAM or not octets:
        return Header(size=size, proxied=None)
    destination, ports = FIXED + octets, FIXED + 2 * octets
    if size < ports + PORTS:
        raise HeaderError("header is too small for its addresses")
    proxied = Proxied(
        source=socket.inet_ntop(family, data[FIXED:destination]),
        source_port=int.from_bytes(data[ports : ports + 2], "big"),
        destination=socket.inet_ntop(family, data[destination:ports]),
        destination_port=int.from_bytes(data[ports + 2 : ports + PORTS], "big"),
        tlvs=data[ports + PORTS : size],
    )
    return Header(size=size, proxied=proxied)


def worth_keeping(header: bytes, kinds: Collection[int] = ()) -> bytes:
    """A valid header without its TLVs, but for those of the types that somebody may ask for."""
    _family, octets = FAMILIES.get(header[13] >> 4, (0, 0)) if header[:1] == b"\r" else (0, 0)
    if not octets:
        return header[:LONGEST_LINE]
    size = FIXED + int.from_bytes(header[14:16], "big")
    end = FIXED + 2 * octets + PORTS
    rest = header[FIXED:end] + (tlvs.only(header[end:size], kinds) if kinds else b"")
    return header[:14] + len(rest).to_bytes(2, "big") + rest


def encode_v1(client: Endpoint, server: Endpoint) -> bytes:
    """The version 1 header for a client that connected to `server`.

    A client on a Unix socket has no address that the header could carry: it is UNKNOWN. Where the
    two are of different families the header has both as IPv6, since readers refuse a mixture; a
    server on a Unix socket is nowhere.
    """
    if client[0] not in _V1_WORDS:
        return b"PROXY UNKNOWN\r\n"
    family, source, destination, port = _both(client, server)
    word = _V1_WORDS[family]
    return f"PROXY {word} {source} {destination} {client[2]} {port}\r\n".encode("ascii")


def encode_v2(client: Endpoint, server: Endpoint, values: bytes = b"") -> bytes:
    """The version 2 header for a client that connected to `server`, with TLVs and a checksum.

    Addresses as in version 1; a client on a Unix socket has none that would mean something.
    """
    family, addresses = 0, b""
    if client[0] in _V1_WORDS:
        kind, source, destination, port = _both(client, server)
        family = 1 if kind == socket.AF_INET else 2
        addresses = socket.inet_pton(kind, source) + socket.inet_pton(kind, destination)
        addresses += client[2].to_bytes(2, "big") + port.to_bytes(2, "big")
    rest = addresses + values
    size = len(rest) + len(EMPTY_CRC)
    head = SIGNATURE + bytes([VERSION << 4 | PROXY, family << 4 | STREAM if family else 0])
    head += size.to_bytes(2, "big") + rest
    checksum = crc32c(head + EMPTY_CRC)
    return head + tlvs.make(tlvs.CRC32C, checksum.to_bytes(4, "big"))


def _both(client: Endpoint, server: Endpoint) -> tuple[int, str, str, int]:
    """A family, and in it the client's address, the server's, and the server's port."""
    family, source, destination, port = client[0], client[1], server[1], server[2]
    if server[0] not in _V1_WORDS:
        destination, port = _NOWHERE[client[0]], 0
    elif client[0] != server[0]:
        family = int(socket.AF_INET6)
        source, destination = _mapped(client), _mapped(server)
    return family, source, destination, port


def _mapped(endpoint: Endpoint) -> str:
    return f"::ffff:{endpoint[1]}" if endpoint[0] == socket.AF_INET else endpoint[1]


def _is_octet(text: str) -> bool:
    return text.isdigit() and int(text) <= LARGEST_OCTET
