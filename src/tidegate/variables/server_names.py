"""Which server of an address a request is for: `server_name` against the Host that it names.

nginx's order: the exact name, the longest name with a wildcard at its head, the longest with one
at its end, the first regular expression that matches, the default server of the address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from tidegate.variables.hostnames import EXACT, Wildcards, split_wildcard
from tidegate.variables.regex import Regex, RegexError

if TYPE_CHECKING:
    from collections.abc import Iterable

S = TypeVar("S")
REGEX = "~"


class HostError(ValueError):
    """A host that is none."""


class Names(Generic[S]):
    """The servers of one address by their names; the first to have a name keeps it."""

    def __init__(self, servers: Iterable[tuple[tuple[str, ...], S]], default: S) -> None:
        """`servers` are names and server in the order of the configuration."""
        self.default = default
        self._exact: dict[bytes, S] = {}
        wild: dict[tuple[str, bytes], S] = {}
        self._regexes: list[tuple[Regex, S]] = []
        for names, server in servers:
            for name in names:
                text = name.encode("utf-8", "surrogateescape")
                if name.startswith(REGEX):
                    self._regexes.append((Regex(text[1:], caseless=True), server))
                    continue
                kind, rest = split_wildcard(text)
                if kind == EXACT:
                    self._exact.setdefault(rest, server)
                else:
                    wild.setdefault((kind, rest), server)
        self._wild = Wildcards(wild)

    def find(self, host: bytes | None) -> tuple[S, tuple[Regex, tuple[bytes | None, ...]] | None]:
        """The server for a host in small letters without its port, and what a regex matched."""
        server = self._exact.get(host or b"")
        if server is None and host:
            server = self._wild.find(host)
        if server is not None:
            return server, None
        for regex, one in self._regexes if host else ():
            try:
                groups = regex.match(host or b"")
            except RegexError:
                continue
            if groups is not None:
                return one, (regex, groups)
        return self.default, None


def host_of(text: bytes) -> bytes:
    """The host in a Host field or a target, in small letters, without port and last dot.

    Raises HostError; what nginx lets pass passes.
    """
    if not text or any(one <= 0x20 or one == 0x7F or one in b"/\\" for one in text):  # noqa: PLR2004
        raise HostError(text)
    if text.startswith(b"["):
        end = text.find(b"]")
        host, port = text[: end + 1], text[end + 1 :]
        if end < 0 or (port and not port.startswith(b":")):
            raise HostError(text)
        port = port[1:]
    else:
        host, _, port = text.partition(b":")
    if port and not port.isdigit():
        raise HostError(text)
    host = host.removesuffix(b".")
    if not host or b".." in host:
        raise HostError(text)
    return host.lower()
