"""The head of a request as the node gets it: nginx's fields in nginx's order.

First those of `proxy_set_header` (with Host and Connection where these are not among them), then
the length of the body, then what the client sent, but for the fields that were set and those that
are only between two neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.http.uri import escape
from tidegate.variables.values import encode
from tidegate.wire.fields import escape_controls, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tidegate.http.request import Request
    from tidegate.http.session import HttpSession

# What a client says to us alone.
BETWEEN_NEIGHBOURS: Final = frozenset(
    {
        b"host",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"te",
        b"keep-alive",
        b"expect",
        b"upgrade",
    }
)


class RequestWriter:
    """Writes the heads for one `proxy_pass`."""

    __slots__ = ("_body", "_fields", "_headers", "_replaced", "_set", "_uri", "_version")

    def __init__(
        self,
        *,
        version: str,
        fields: Sequence[tuple[str, Callable[[HttpSession], str]]],
        uri: Callable[[HttpSession], str] | None,
        whole_uri: bool,
        pass_headers: bool,
        pass_body: bool,
    ) -> None:
        """`uri` is that of `proxy_pass`; `whole_uri` that it stands for all of the client's."""
        self._version = version.encode()
        self._fields = tuple((encode(name), value) for name, value in fields)
        self._set = frozenset(encode(name).lower() for name, _value in fields)
        self._replaced = self._set | BETWEEN_NEIGHBOURS
        self._uri = (uri, whole_uri) if uri is not None else None
        self._headers = pass_headers
        self._body = pass_body

    def uri(self, session: HttpSession, request: Request) -> bytes:
        """What is asked of the node."""
        assert request.uri is not None
        if request.target_uri:
            text = "" if self._uri is None else self._uri[0](session)
            return encode(request.target_uri + text)
        if self._uri is None:
            if not request.internal:
                return request.uri.raw
            return _with_args(escape(request.path), request.args)
        read, whole = self._uri
        begin = encode(read(session))
        if whole and begin:
            return begin
        rest = request.path[session.location.uri_prefix :]
        if request.uri.quoted or request.internal:
            rest = escape(rest)
        return _with_args(begin + rest, request.args)

    def head(self, session: HttpSession, request: Request) -> bytes:
        """The head, its empty line included; notes the URI in the request."""
        head = request.head
        assert head is not None
        request.sent_uri = escape_controls(self.uri(session, request))
        version = self._version if head.minor else b"1.0"
        lines = [head.method + b" " + request.sent_uri + b" HTTP/" + version]
        for name, text in self._fields:
            value = encode(text(session))
            if value:
                lines.append(name + b": " + one_line(value))
        if self._body and b"content-length" not in self._set:
            length = head.length if not head.chunked else len(request.body)
            if length is not None:
                lines.append(b"Content-Length: %d" % length)
        if self._headers:
            replaced = self._replaced
            lines += [
                name + b": " + value for name, value in head.fields if name.lower() not in replaced
            ]
        lines.append(b"\r\n")
        return b"\r\n".join(lines)

    @property
    def passes_body(self) -> bool:
        """Whether the node gets the client's body."""
        return self._body


def _with_args(path: bytes, args: bytes | None) -> bytes:
    return path if args is None else path + b"?" + args
