"""Where a run connects to and from: names become addresses as the kernel takes them."""

from __future__ import annotations

import selectors
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from tidegate.engine.address import pack_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    # As getaddrinfo gives it.
    Found = tuple[int, int, int, str, tuple[Any, ...]]

# How long the addresses of a target, all together, may take for one of them to be chosen.
PROBE_SECONDS = 1.0
FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
# Where sockaddr_in6 says on which link a link-local address is.
SCOPE_AT = 24


class AddressError(Exception):
    """A name or an address that cannot be used; the text says which and why."""


def resolve(host: str, port: int, *, sources: Sequence[str] = ()) -> tuple[bytes, list[bytes]]:
    """The packed address of a host, and those of the local addresses to connect from.

    Of several the first that takes a connection: "localhost" is ::1 and 127.0.0.1, and a target
    often listens on one of them only. Only those of the sources' family are looked at. Raises
    AddressError.
    """
    locals_ = [_local(source) for source in sources]
    families = {family for family, _ in locals_}
    if len(families) > 1:
        raise AddressError("--source: IPv4 and IPv6 addresses do not go together")
    family = families.pop() if families else socket.AF_UNSPEC
    found = _look_up(host, port, family)
    chosen = _first_that_accepts(found) if len(found) > 1 else found[0]
    return _packed(chosen), [address for _, address in locals_]


def _local(source: str) -> tuple[int, bytes]:
    try:
        found = socket.getaddrinfo(
            source, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE
        )
    except (OSError, UnicodeError):
        raise AddressError(f'--source: "{source}" is no address of this machine') from None
    return found[0][0], _packed(found[0])


def _look_up(host: str, port: int, family: int) -> list[Found]:
    """What getaddrinfo knows of this family; AddressError when that is nothing."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        if host != "localhost":
            raise AddressError(f'cannot resolve "{host}": {error}') from None
        # A system without a hosts file does not know the name (RFC 6761, section 6.3).
        found = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
    known: list[Found] = [
        one for one in found if one[0] in FAMILIES and family in {socket.AF_UNSPEC, one[0]}
    ]
    if not known:
        raise AddressError(
            f'"{host}" has no {FAMILIES[socket.AddressFamily(family)]} address,'
            " and the --source is one"
            if family
            else f'"{host}" has neither an IPv4 nor an IPv6 address'
        )
    return known


def _first_that_accepts(found: list[Found]) -> Found:
    """The first to take a connection when all are asked at once; where none does, the first."""
    end = time.monotonic() + PROBE_SECONDS
    with selectors.DefaultSelector() as selector:
        try:
            for one in found:
                sock = _begin(one)
                if sock is not None:
                    selector.register(sock, selectors.EVENT_WRITE, (sock, one))
            while selector.get_map() and (left := end - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    sock, one = key.data
                    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                        return one  # type: ignore[no-any-return]  # what was registered
                    selector.unregister(sock)
                    sock.close()
        finally:
            for key in list(selector.get_map().values()):
                key.data[0].close()
    return found[0]


def _begin(one: Found) -> socket.socket | None:
    """A socket on its way; None for an address that this machine cannot go to."""
    family, _, _, _, address = one
    sock: socket.socket | None = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.connect(address)
    except BlockingIOError:
        pass
    except OSError:
        if sock is not None:
            sock.close()
        return None
    return sock


def _packed(one: Found) -> bytes:
    """One of getaddrinfo's answers as a sockaddr, with the link of a link-local address."""
    family, _, _, _, address = one
    packed = pack_address(family, address[0].partition("%")[0], address[1])
    if family == socket.AF_INET6:
        packed = packed[:SCOPE_AT] + struct.pack("=I", address[3])
    return packed
