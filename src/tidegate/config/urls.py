"""Addresses as `listen`, `server` and `proxy_pass` take them, by the rules of `ngx_parse_url`."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence

from tidegate.config.values import number
from tidegate.dataclasses import dataclass, replace
from tidegate.wire.address import Address

# Gives the addresses of a host name and port, in order; raises OSError when there are none.
Resolve = Callable[[str, int], Sequence[Address]]

LAST_PORT = 65535
LONGEST_UNIX_PATH = 107  # sun_path holds 108 bytes, the last of them a NUL

QUAD = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
LARGEST_OCTET = 255

# nginx asks a `resolver` for the names of hosts that variables of `proxy_pass` say.
NOT_RESOLVED = (
    '{} is not resolved, as "proxy_pass" has variables: they may name an upstream whose server has '
    '"resolve"'
)


class UrlError(ValueError):
    """A text that is no address, in nginx's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """An address as written: a host, or a path where `unix`, and its ports.

    `ports` is empty where none was given; `default` is then the port, or 0. `literal` is the
    address that the host itself is, with port 0; None for a name that must be resolved.
    """

    host: str
    ports: range
    unix: bool = False
    literal: Address | None = None
    default: int = 0

    @property
    def port(self) -> int:
        """The first port, or the default one."""
        return self.ports[0] if self.ports else self.default


def parse_url(text: str, *, listen: bool = False, default: int = 0) -> Url:
    """Read `host:port`, `[ipv6]:port` or `unix:path`; raises UrlError.

    For `listen` a port may stand alone, ports may be a range, and `*` is any IPv4 address. With a
    `default` a URL without a port has that one.
    """
    if text[:5].lower() == "unix:":
        return _unix(text[5:])
    read = _inet6 if text.startswith("[") else _inet
    url = read(text, listen=listen)
    return url if url.ports else replace(url, default=default)


def split_uri(text: str) -> tuple[str, str]:
    """An address as `parse_url` takes it, and the URI behind it; that of `unix:` follows a `:`."""
    if text[:5].lower() == "unix:":
        path, _colon, uri = text[5:].partition(":")
        return text[:5] + path, uri
    start = next((at for at, one in enumerate(text) if one in "/?"), len(text))
    return text[:start], text[start:]


def _unix(path: str) -> Url:
    if not path:
        raise UrlError("no path in the unix domain socket")
    if len(path.encode("utf-8", "surrogateescape")) > LONGEST_UNIX_PATH:
        raise UrlError("too long path in the unix domain socket")
    address = Address(family=socket.AF_UNIX, host=path)
    return Url(host=path, ports=range(0), unix=True, literal=address)


def _inet6(text: str, *, listen: bool) -> Url:
    end = text.find("]")
    rest = text[end + 1 :]
    if end < 0 or "/" in rest or (rest and not rest.startswith(":")):
        raise UrlError("invalid host")
    ports = _ports(rest[1:], listen=listen) if rest else range(0)
    inner = text[1:end]
    if not inner:
        raise UrlError("no host")
    try:
        host = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, inner))
    except (OSError, ValueError):
        raise UrlError("invalid IPv6 address") from None
    address = Address(family=socket.AF_INET6, host=host)
    return Url(host=text[: end + 1], ports=ports, literal=address)


def _inet(text: str, *, listen: bool) -> Url:
    if "/" in text or "?" in text:
        raise UrlError("invalid host")
    host, colon, port = text.partition(":")
    if colon:
        ports = _ports(port, listen=listen)
    elif listen and number(text.partition("-")[0]) is not None:
        ports, host = _ports(text, listen=listen), "*"
    else:
        ports = range(0)
    if not host:
        raise UrlError("no host")
    literal = "0.0.0.0" if listen and host == "*" else ipv4(host)  # noqa: S104 - what * means
    address = Address(family=socket.AF_INET, host=literal) if literal else None
    return Url(host=host, ports=ports, literal=address)


def _ports(text: str, *, listen: bool) -> range:
    first, dash, last = text.partition("-") if listen else (text, "", "")
    ends = [number(end) for end in ((last, first) if dash else (first,))]
    if any(end is None or not 1 <= end <= LAST_PORT for end in ends):
        raise UrlError("invalid port")
    high, low = int(ends[0] or 0), int(ends[-1] or 0)
    if low > high:
        raise UrlError("invalid port range")
    return range(low, high + 1)


def ipv4(text: str) -> str | None:
    """The dotted quad that `text` is, without leading zeros; None if it is none."""
    if not QUAD.fullmatch(text):
        return None
    octets = [number(octet) for octet in text.split(".")]
    if any(octet is None or octet > LARGEST_OCTET for octet in octets):
        return None
    return ".".join(str(octet) for octet in octets)


def addresses(url: Url, resolve: Resolve) -> list[Address]:
    """The socket addresses of a URL: for each address of its host each of its ports.

    Raises UrlError `host not found` for a name without an address.
    """
    found: Sequence[Address]
    if url.literal is not None:
        if url.unix:
            return [url.literal]
        found = [url.literal]
    else:
        try:
            found = resolve(url.host, url.port)
        except (OSError, ValueError):
            found = ()
        if not found:
            raise UrlError("host not found")
    ports = url.ports or range(url.default, url.default + 1)
    return [Address(family=one.family, host=one.host, port=port) for one in found for port in ports]


def resolve_name(host: str, port: int) -> list[Address]:
    """The addresses that the system's resolver gives, in its order; raises OSError."""
    # As bytes, or Python would first make an international name of it, which nginx does not.
    found = socket.getaddrinfo(
        host.encode("utf-8", "surrogateescape"),
        port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_ADDRCONFIG,
    )
    return [
        Address(family=family, host=str(where[0]), port=port)
        for family, _type, _protocol, _name, where in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]
