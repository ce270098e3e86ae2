"""The head of an answer to a client, in nginx's order."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidegate.http.answers import http_date, server_name
from tidegate.wire.fields import one_line

if TYPE_CHECKING:
    from tidegate.wire.fields import Field


@dataclass(slots=True, kw_only=True)
class Response:
    """What the head of an answer says.

    `line` is the status line behind the version. `server` and `date` are None for our own.
    `connection` is what the Connection field says, `keep_alive` the Keep-Alive field's seconds.
    `location` is one that stands before the other fields; `fields` are all others in order.
    """

    status: int
    line: str
    connection: str
    server: bytes | None = None
    date: bytes | None = None
    content_type: bytes | None = None
    length: int | None = None
    chunked: bool = False
    location: bytes | None = None
    keep_alive: int | None = None
    fields: list[Field] = field(default_factory=list)

    def find(self, name: bytes) -> bytes | None:
        """The value of a field, by its name in lower case."""
        values = [value for one, value in self.every(tokens=True) if one.lower() == name]
        return b", ".join(values) if values else None

    def every(self, *, tokens: bool) -> list[Field]:
        """All fields in the order in which they are sent."""
        found: list[tuple[bytes, bytes | None]] = [
            (b"Server", self.server or server_name(tokens=tokens).encode()),
            (b"Date", self.date or http_date(time.time()).encode()),
            (b"Content-Type", self.content_type),
            (b"Content-Length", None if self.length is None else b"%d" % self.length),
            (b"Location", self.location),
            (b"Transfer-Encoding", b"chunked" if self.chunked else None),
            (b"Connection", self.connection.encode()),
            (b"Keep-Alive", None if self.keep_alive is None else b"timeout=%d" % self.keep_alive),
            *self.fields,
        ]
        return [(name, value) for name, value in found if value is not None]

    def head(self, *, tokens: bool) -> bytes:
        """The bytes of the head; `tokens` tells whether our version is named."""
        lines = [b"HTTP/1.1 " + self.line.encode("latin-1")]
        lines += [name + b": " + one_line(value) for name, value in self.every(tokens=tokens)]
        return b"\r\n".join(lines) + b"\r\n\r\n"
