"""Heads of HTTP messages, their fields, and the reader of those that are plain."""

from collections.abc import Iterator, Sequence
from typing import Literal, overload

class Fields:
    """Fields in order; names are looked up in small letters."""

    def __init__(self, pairs: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """`pairs` are names and values."""

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Name and value of each, as they came."""

    def __contains__(self, name: bytes) -> bool:
        """Whether there is a field of this name."""

    @overload
    def get(self, name: bytes) -> bytes | None:
        """The value of a field, those of several with a comma between."""

    @overload
    def get(self, name: bytes, default: bytes) -> bytes: ...
    def all(self, name: bytes) -> list[bytes]:
        """The values of all fields of this name."""

class RequestHead:
    """A whole head of `size` bytes, the empty line at its end included.

    `line` is the request line without its end, `minor` the version behind "1.". `length` is that
    of the body, None where none is told; `chunked` bodies tell theirs on the way. `host` is as the
    client wrote it in its Host field.

    `path`, `args` and `host_name` are there where the target and the host can be taken as they
    are: what `read_target` and `host_of` of http would give; `path` and `host_name` are None where
    these have to be asked. With a `path` the head is to http what its `Uri` is: hence `raw`,
    `quoted` and `authority`.
    """

    line: bytes
    method: bytes
    target: bytes
    minor: int
    fields: Fields
    length: int | None
    chunked: bool
    host: bytes | None
    size: int
    path: bytes | None
    args: bytes | None
    host_name: bytes | None
    quoted: Literal[False]
    authority: None

    def __init__(
        self,
        *,
        line: bytes,
        method: bytes,
        target: bytes,
        minor: int,
        fields: Fields,
        length: int | None,
        chunked: bool,
        host: bytes | None,
        size: int,
    ) -> None: ...
    @property
    def raw(self) -> bytes:
        """The target."""

    @property
    def has_body(self) -> bool:
        """Whether a body comes behind it."""

    @property
    def keep_alive(self) -> bool:
        """Whether the client means to send another request."""

    @property
    def upgrades(self) -> bool:
        """Whether the client asks for another protocol."""

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for a 100 before its body."""

class ResponseHead:
    """A whole head of `size` bytes; `line` is the status line behind the version.

    `length` is the body's where it is told, `chunked` bodies tell theirs on the way.
    """

    status: int
    line: bytes
    minor: int
    fields: Fields
    length: int | None
    chunked: bool
    size: int

    def __init__(
        self,
        *,
        status: int,
        line: bytes,
        minor: int,
        fields: Fields,
        length: int | None,
        chunked: bool,
        size: int,
    ) -> None: ...
    @property
    def interim(self) -> bool:
        """Whether another head follows: 100 Continue, 103 Early Hints, but not 101."""

    @property
    def bodiless(self) -> bool:
        """Whether a response of this status has no body."""

def plain_request(data: bytes, line: int, most: int, /) -> RequestHead | None:
    """A request's head at the beginning of `data`, where it is plain and whole; else None.

    `line` and `most` as in `read_request_head`.
    """

def plain_response(data: bytes) -> ResponseHead | None:
    """A response's head at the beginning of `data`, where it is plain and whole; else None."""
