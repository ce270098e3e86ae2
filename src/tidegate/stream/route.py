"""`proxy_pass` with variables: from what they say to the upstream or the address that it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.balance.single import Single
from tidegate.config.urls import NOT_RESOLVED, UrlError, parse_url
from tidegate.wire.address import Address
from tidegate.wire.quoted import host_text, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tidegate.balance.upstream import Upstream
    from tidegate.config import model
    from tidegate.config.urls import Url
    from tidegate.stream.proxy import Proxy
    from tidegate.stream.session import Session

# Ways that a server remembers; what variables say may be a client's own words.
MOST_REMEMBERED: Final = 1024


class RouteError(ValueError):
    """A text that leads nowhere, in nginx's words."""


class Route:
    """The ways of one server's `proxy_pass`; each is found once and then remembered.

    `upstreams` are all that there are, by name: any of them may be meant.
    """

    __slots__ = ("_groups", "_make", "_port", "_target", "_ways", "upstreams")

    def __init__(
        self,
        target: Callable[[Session], str],
        upstreams: Mapping[str, tuple[model.Upstream, Upstream]],
        make: Callable[[str | Single], Proxy],
        *,
        port: int = 0,
    ) -> None:
        """`make` makes the way to an upstream of that name, or to an address.

        `port` is that of an address which names none; with 0 it has to.
        """
        self._target = target
        self._make = make
        self._port = port
        self._groups = groups_of(described for described, _upstream in upstreams.values())
        self._ways: dict[str, Proxy] = {}
        self.upstreams = {name: upstream for name, (_described, upstream) in upstreams.items()}

    def find(self, session: Session) -> Proxy:
        """The way of a session; raises RouteError."""
        return self.to(self._target(session))

    def to(self, text: str) -> Proxy:
        """The way to what a text names; raises RouteError."""
        way = self._ways.get(text)
        if way is None:
            if len(self._ways) >= MOST_REMEMBERED:
                self._ways.clear()
            way = self._ways[text] = self._make(self._named(text))
        return way

    def _named(self, text: str) -> str | Single:
        """The upstream that a text names, or the address that it is."""
        try:
            url = parse_url(text)
        except UrlError as error:
            # nginx has other words for the same here than when it reads a file.
            raise RouteError(f"{error} in upstream {quoted(text)}") from None
        host, port = place_of(url)
        group = self._groups.get((host, port)) or self._groups.get((host, port or self._port))
        if group is not None:
            return group
        if not url.ports and not url.unix and not self._port:
            raise RouteError(f"no port in upstream {quoted(url.host)}")
        if url.literal is None:
            raise RouteError(NOT_RESOLVED.format(host_text(url.host)))
        literal = url.literal
        return Single(
            Address(family=literal.family, host=literal.host, port=url.port or self._port)
        )


def groups_of(upstreams: Iterable[model.Upstream]) -> dict[tuple[str, int], str]:
    """Names of upstreams by host and port, as nginx looks them up; port 0 is none."""
    return {
        place_of(parse_url(one.name)) if one.implicit else (one.name.lower(), 0): one.name
        for one in upstreams
    }


def place_of(url: Url) -> tuple[str, int]:
    """Host and port as nginx compares them."""
    return url.host.lower(), url.port
