"""What is known of `http {}` while it is read; `build_http` makes the model of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tidegate.config.draft import BlockDraft, ProtocolDraft, ServedDraft, block_here
from tidegate.dataclasses import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tidegate.config.draft import AddressDraft, Reading
    from tidegate.config.model_http import ErrorPage, Header, HttpReturn, Redirect
    from tidegate.config.model_tls import Tls
    from tidegate.config.parser import Directive
    from tidegate.config.span import Span
    from tidegate.variables.template import Template
    from tidegate.wire.address import Address

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class ListsDraft:
    """What one block of http has of things that go over to blocks inside as a whole, or not at all.

    `forwarded` is the `proxy_set_header` that adds to X-Forwarded-For. `redirect` is False with
    `proxy_redirect off`, and `redirect_default` tells of `default`. `files` is `root`, or `alias`
    in a location, by the location that it stands in.
    """

    set_headers: list[Header] = field(default_factory=list)
    forwarded: Directive | None = None
    add_headers: list[Header] = field(default_factory=list)
    error_pages: list[ErrorPage] = field(default_factory=list)
    hide_headers: list[str] = field(default_factory=list)
    pass_headers: list[str] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)
    redirect: bool | None = None
    redirect_default: bool = False
    index: list[Template] = field(default_factory=list)
    types: dict[str, str] | None = None
    files: FilesDraft | None = None
    access_off: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesDraft:
    """`root PATH`, or `alias PATH` of the location with `text`."""

    path: Template
    alias: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PassDraft:
    """The URL of a `proxy_pass` apart: what stands in front of the host and behind it."""

    secure: bool
    host: str
    port: str
    uri: Template | None


@dataclass(slots=True, kw_only=True)
class LocationDraft(ServedDraft):
    """One `location`, or with `match` None a server's own settings.

    Of `proxy` and `stub` the one given last is set, as nginx takes the last handler.
    """

    match: str | None
    text: str
    server: HttpServerDraft
    lists: ListsDraft = field(default_factory=ListsDraft)
    nested: list[LocationDraft] = field(default_factory=list)
    proxy: PassDraft | None = None
    stub: bool = False
    answer: HttpReturn | None = None
    try_files: tuple[Template, ...] = ()

    @property
    def sees_mqtt(self) -> bool:
        """Whether anything makes it look at a CONNECT."""
        looking = ("mqtt_preread", "mqtt", "mqtt_require", "mqtt_next_upstream")
        names = (*looking, "mqtt_websocket_to")
        return self.proxy is not None and any(self.scope.get(name) for name in names)

    def tree(self) -> Iterator[LocationDraft]:
        """The location itself, and all inside of it."""
        yield self
        for one in self.nested:
            yield from one.tree()


@dataclass(slots=True, kw_only=True)
class HttpServerDraft:
    """One `server` of http; `outside` has its settings, and its locations as `nested`."""

    outside: LocationDraft = field(init=False)
    directive: Directive
    names: list[tuple[str, Span]] = field(default_factory=list)
    addresses: list[AddressDraft] = field(default_factory=list)
    tls: Tls | None = None


@dataclass(slots=True, kw_only=True)
class HttpDraft(ProtocolDraft):
    """All `http {}` blocks together."""

    lists: ListsDraft = field(default_factory=ListsDraft)
    servers: list[HttpServerDraft] = field(default_factory=list)
    addresses: dict[Address, AddressDraft] = field(default_factory=dict)

    def locations(self) -> Iterator[LocationDraft]:
        """All locations of all servers, and the servers' own settings."""
        for server in self.servers:
            yield from server.outside.tree()

    def served(self) -> Sequence[ServedDraft]:
        """All that serves clients."""
        return list(self.locations())


def in_http(reading: Reading) -> HttpDraft:
    """The http that is being read."""
    protocol = reading.draft.protocol
    assert isinstance(protocol, HttpDraft)
    return protocol


def in_location(reading: Reading) -> LocationDraft:
    """The location, or server's own settings, that is being read."""
    location = reading.draft.server
    assert isinstance(location, LocationDraft)
    return location


def lists_of(block: BlockDraft) -> ListsDraft:
    """The lists of a block of http."""
    assert isinstance(block, (HttpDraft, LocationDraft))
    return block.lists


def lists_here(reading: Reading) -> ListsDraft:
    """The lists of the block that is being read."""
    return lists_of(block_here(reading))


def nearest(block: BlockDraft, get: Callable[[ListsDraft], T | None]) -> T | None:
    """What `get` finds in a block, or in the nearest around in which it finds something."""
    found = (get(lists_of(one)) for one in block.blocks())
    return next((one for one in found if one is not None), None)
