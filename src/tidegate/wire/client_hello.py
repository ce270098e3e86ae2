"""What a client says first in TLS, read without ending its TLS: where it wants to go.

Source: RFC 8446 section 4.1.2 and appendix B (records, ClientHello), RFC 6066 section 3 (the name
of the server), RFC 7301 (protocols, ALPN), RFC 5246 appendix E.2 (the hello of SSL 2).
"""

from __future__ import annotations

from typing import Final, NamedTuple

RECORD_HEAD: Final = 5
HANDSHAKE: Final = 22  # a record's type
MAJOR: Final = 3  # of every version since SSL 3
HELLO: Final = 1  # a handshake message's type
MESSAGE_HEAD: Final = 4
RANDOM: Final = 32

# A hello is read again from its first byte with each record that came, so there are not to be many:
# real clients need one, those that want to be hard to look into a few.
MOST_RECORDS: Final = 32

# A hello of SSL 2 has the top bit set, which no record of later versions has.
OLD_BIT: Final = 0x80
OLD_HEAD: Final = 5
OLD_MAJORS: Final = (0, MAJOR)

SERVER_NAME: Final = 0
ALPN: Final = 16
SUPPORTED_VERSIONS: Final = 43
HOST_NAME: Final = 0

VERSIONS: Final = {
    0x0002: "SSLv2",
    0x0300: "SSLv3",
    0x0301: "TLSv1",
    0x0302: "TLSv1.1",
    0x0303: "TLSv1.2",
    0x0304: "TLSv1.3",
}


class Need(NamedTuple):
    """Not decidable yet: `size` bytes from the first on are the least that may do."""

    size: int


class ClientHello(NamedTuple):
    """The newest version of TLS that a client offers, and what it says about where it wants to go.

    Names are texts with bytes that are no UTF-8 as everywhere here; `protocols` are in its order.
    """

    version: str
    server_name: str = ""
    protocols: tuple[str, ...] = ()


class _Fields:
    """Reads numbers and vectors one after the other; IndexError where they end too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise IndexError(size)
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """A piece whose length stands before it in `size` bytes."""
        return self.take(self.number(size))

    @property
    def left(self) -> bool:
        return self._at < len(self._data)


def parse_client_hello(data: bytes) -> ClientHello | Need | None:
    """What the client said, as soon as all of it is there; None is no hello of TLS.

    The hello may be spread over several records, MOST_RECORDS of them. Each is looked into when it
    is whole, as nginx does; none may be empty (RFC 8446 section 5.1).
    """
    if data and data[0] & OLD_BIT:
        return _old_hello(data)
    message = bytearray()
    at = 0
    for _record in range(MOST_RECORDS):
        head = data[at : at + RECORD_HEAD]
        if not _may_be_record(head):
            return None
        if len(head) < RECORD_HEAD:
            return Need(at + RECORD_HEAD)
        size = int.from_bytes(head[3:], "big")
        end = at + RECORD_HEAD + size
        if size and end > len(data):
            return Need(end)
        message += data[at + RECORD_HEAD : end]
        at = end
        if size == 0 or message[0] != HELLO:
            break
        if len(message) >= MESSAGE_HEAD:
            size = MESSAGE_HEAD + int.from_bytes(message[1:MESSAGE_HEAD], "big")
            if len(message) >= size:
                return _parse_body(bytes(message[MESSAGE_HEAD:size]))
    return None


def _may_be_record(head: bytes) -> bool:
    return head[:1] in (b"", bytes([HANDSHAKE])) and head[1:2] in (b"", bytes([MAJOR]))


def _old_hello(data: bytes) -> ClientHello | Need | None:
    if len(data) < OLD_HEAD:
        return Need(OLD_HEAD)
    if data[2] != HELLO or data[3] not in OLD_MAJORS:
        return None
    return ClientHello(_name_of(int.from_bytes(data[3:OLD_HEAD], "big")))


def _parse_body(body: bytes) -> ClientHello | None:
    fields = _Fields(body)
    try:
        version = fields.number(2)
        fields.take(RANDOM)
        fields.vector(1)  # the session to take up
        fields.vector(2)  # ciphers
        fields.vector(1)  # compressions
        extensions = _Fields(fields.vector(2) if fields.left else b"")
        name = ""
        protocols: tuple[str, ...] = ()
        while extensions.left:
            kind, value = extensions.number(2), extensions.vector(2)
            if kind == SERVER_NAME:
                name = _server_name(value)
            elif kind == ALPN:
                protocols = _protocols(value)
            elif kind == SUPPORTED_VERSIONS:
                version = max(_versions(value), default=version)
    except IndexError:
        return None
    return ClientHello(_name_of(version), name, protocols)


def _server_name(value: bytes) -> str:
    names = _Fields(_Fields(value).vector(2))
    if names.number(1) != HOST_NAME:
        # There is no other kind of name; nginx does not go on either.
        raise IndexError
    return _text(names.vector(2))


def _protocols(value: bytes) -> tuple[str, ...]:
    names = _Fields(_Fields(value).vector(2))
    found = []
    while names.left:
        found.append(_text(names.vector(1)))
    return tuple(found)


def _versions(value: bytes) -> list[int]:
    """The versions offered, but for the numbers that test whether unknown ones are passed over."""
    offered = _Fields(_Fields(value).vector(1))
    found = []
    while offered.left:
        version = offered.number(2)
        if version in VERSIONS:
            found.append(version)
    return found


def _name_of(version: int) -> str:
    """A version as nginx's variable has it; nothing for one that it does not know."""
    return VERSIONS.get(version, "")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
