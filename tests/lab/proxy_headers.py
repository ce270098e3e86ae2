"""PROXY protocol headers, made by hand from the specification, and what is wrong with others."""

import socket
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
SOURCE, DESTINATION = "203.0.113.7", "198.51.100.1"
SOURCE6, DESTINATION6 = "2001:db8::7", "2001:db8::1"

V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 4242 1883\r\n"
V1_SIX = b"PROXY TCP6 2001:db8::7 2001:db8::1 4242 1883\r\n"
UNKNOWN = b"PROXY UNKNOWN\r\n"
# The longest line of version 1.
WIDEST = b"PROXY UNKNOWN " + b"ffff:f...f:ffff ".ljust(91, b"f") + b"\r\n"


def v2(body=b"", *, command=0x21, family=0x11):
    """A header of version 2; `command` has the version, `family` the transport too."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def addresses(source=SOURCE, destination=DESTINATION, ports=(4242, 1883)):
    """The addresses of version 2."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    packed = [socket.inet_pton(family, one) for one in (source, destination)]
    return b"".join(packed) + struct.pack("!HH", *ports)


def tlv(kind, value):
    """A type, length and value of version 2."""
    return struct.pack("!BH", kind, len(value)) + value


SIX = addresses(SOURCE6, DESTINATION6)
V2 = v2(addresses())
V2_SIX = v2(SIX, family=0x21)
V2_TLVS = v2(addresses() + tlv(4, bytes(32)) + tlv(0x02, b"example.org"))
# As long as it may be.
V2_FULL = v2(addresses() + tlv(0xE0, b"x" * (4096 - 16 - 12 - 3)))

# Headers that name a client, and those that do not.
NAMING = {
    "v1": V1,
    "v1-ipv6": V1_SIX,
    "v1-zeros": b"PROXY TCP4 203.0.113.7 198.51.100.1 04242 001883\r\n",
    "v1-capitals": b"PROXY TCP6 2001:DB8:0::7 2001:db8::1 4242 1883\r\n",
    "v1-port-0": b"PROXY TCP4 203.0.113.7 198.51.100.1 0 1883\r\n",
    "v1-mixed": b"PROXY TCP4 2001:db8::7 198.51.100.1 4242 1883\r\n",
    "v2": V2,
    "v2-ipv6": V2_SIX,
    "v2-mapped": v2(addresses("::ffff:203.0.113.7", "::1"), family=0x21),
    "v2-port-0": v2(addresses(ports=(0, 0))),
    "v2-tlvs": V2_TLVS,
    "v2-full": V2_FULL,
}
TELLING_NO_ADDRESS = {
    "v1-no-address": b"PROXY TCP4 999.0.113.7 198.51.100.1 4242 1883\r\n",
    "v1-letters": b"PROXY TCP6 feed.face beef 4242 1883\r\n",
    "v1-empty": b"PROXY TCP4   4242 1883\r\n",
}
SILENT = {
    "v1-unknown": UNKNOWN,
    "v1-unknown-addresses": b"PROXY UNKNOWN ffff:: ffff:: 1 2\r\n",
    "v1-unknown-word": b"PROXY UNKNOWNX\r\n",
    "v1-widest": WIDEST,
    "v2-local": v2(command=0x20, family=0),
    "v2-local-addresses": v2(addresses(), command=0x20),
    "v2-command-2": v2(addresses(), command=0x22),
    "v2-unspecified": v2(family=0),
    "v2-datagrams": v2(addresses(), family=0x12),
    "v2-unix": v2(b"/a".ljust(108, b"\0") + b"/b".ljust(108, b"\0"), family=0x31),
    "v2-family-5": v2(addresses(), family=0x51),
}
VALID = {**NAMING, **TELLING_NO_ADDRESS, **SILENT}

# What is no header: the bytes, and the words of the log.
BROKEN = {
    "mqtt": (b"\x10\x0e\0\4MQTT\4\2\0\0\0\2ab", "\x10\x0e\0\4MQTT\4\2\0\0\0\2ab"),
    "tls": (b"\x16\3\1\2\0\1\0\1\xfc", "\x16\3\1\2\0\1\0\1\udcfc"),
    "http": (b"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1"),
    "small-letters": (b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "proxy TCP4 1.2.3.4 1.2.3.4 1 2"),
    "tcp5": (b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\nabc", "PROXY TCP5 1.2.3.4 1.2.3.4 1 2"),
    "port-65536": (b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2"),
    "port-empty": (b"PROXY TCP4 1.2.3.4 1.2.3.4  2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4  2"),
    "port-signed": (b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2"),
    "one-word-more": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 x\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 x"),
    "one-word-less": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1"),
    "a-name": (b"PROXY TCP4 example.org 1.2.3.4 1 2\r\n", "PROXY TCP4 example.org 1.2.3.4 1 2"),
    "lf-alone": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2"),
}
# A header that goes on and on.
ENDLESS = b"PROXY TCP4 " + b"1" * 300 + b" 1.2.3.4 1 2\r\n"
BROKEN_2 = {
    "version-3": (v2(addresses(), command=0x31), "unknown PROXY protocol version: 3"),
    "version-0": (v2(addresses(), command=0x01), "unknown PROXY protocol version: 0"),
    "too-large": (SIGNATURE + b"\x21\x11\xff\xff" + bytes(100), "header is too large"),
    "one-too-large": (V2_FULL[:14] + b"\x0f\xf1" + V2_FULL[16:] + b"x", "header is too large"),
    "too-small": (v2(addresses()[:-1]), "header is too small for its addresses"),
    "too-small-ipv6": (v2(SIX[:-1], family=0x21), "header is too small for its addresses"),
    "empty": (v2(), "header is too small for its addresses"),
}
