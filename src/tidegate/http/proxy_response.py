"""A node's answer as the client gets it: without what is only between neighbours, and with ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.http import replies
from tidegate.http.proxy_heads import SwitchWriter
from tidegate.http.response import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tidegate.http.session import HttpSession
    from tidegate.wire.head import ResponseHead

# Fields with a place of their own in the head, and those between us and the node.
TAKEN_OUT: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"transfer-encoding",
        b"content-length",
        b"content-type",
        b"proxy-connection",
    }
)
REDIRECTING: Final = frozenset({b"location", b"refresh"})


class ResponseWriter:
    """Rewrites the heads for one `proxy_pass`; `redirect` changes a Location or Refresh.

    `switch` does it in a shorter way for most of those that begin a tunnel.
    """

    __slots__ = ("_hidden", "_redirect", "switch")

    def __init__(
        self,
        *,
        hide: Collection[str],
        passing: Collection[str],
        redirect: Callable[[HttpSession, bytes], bytes] | None,
        tokens: bool,
    ) -> None:
        """`hide` and `passing` are names of fields, those to hide in small letters."""
        hidden = {name.encode() for name in hide}
        self._hidden = hidden - {name.lower().encode() for name in passing}
        self._redirect = redirect
        self.switch = SwitchWriter(hidden=self._hidden, tokens=tokens)

    def response(
        self, session: HttpSession, head: ResponseHead, *, connection: str, has_body: bool
    ) -> Response:
        """The head for the client."""
        response = Response(
            status=head.status,
            line=head.line.decode("latin-1"),
            connection=connection,
            content_type=head.fields.get(b"content-type"),
            length=head.length,
            chunked=head.chunked and has_body,
        )
        for name, value in head.fields:
            lowered = name.lower()
            if lowered in TAKEN_OUT or lowered in self._hidden:
                continue
            if lowered == b"server":
                response.server = value
            elif lowered == b"date":
                response.date = value
            elif lowered in REDIRECTING:
                where = value if self._redirect is None else self._redirect(session, value)
                if lowered == b"location":
                    replies.place(session, response, where)
                else:
                    response.fields.append((name, where))
            else:
                response.fields.append((name, value))
        return response
