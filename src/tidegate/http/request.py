"""What is known of one request, until it is answered or its tunnel begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.http.response import Response
    from tidegate.http.uri import Uri
    from tidegate.wire.head import RequestHead, ResponseHead

# Redirects inside a server that one request may take; nginx's bound.
MOST_REDIRECTS = 10


class Request:
    """One request; `head` and `uri` are None where they could not be read.

    `path` and `args` are what it is for now: an internal redirect changes them. `error` is the
    status that an `error_page` is shown for, `shows` the status that its answer is to have.
    `body` is what came of the body, `owed` how many bytes of it are still to come, `rest` what came
    behind the head. `size` counts what the client sent for it up to now, `taken` what of that the
    engine has let go of. `proxy_host` and `target_uri` are what variables of
    `proxy_pass` gave.
    """

    __slots__ = (
        "args",
        "body",
        "body_done",
        "error",
        "head",
        "host",
        "internal",
        "line",
        "method",
        "owed",
        "path",
        "proxy_host",
        "redirects",
        "response",
        "rest",
        "sent_uri",
        "shows",
        "size",
        "taken",
        "target_uri",
        "upstream",
        "upstream_statuses",
        "uri",
    )

    def __init__(self) -> None:
        self.head: RequestHead | None = None
        self.line = b""
        self.uri: Uri | RequestHead | None = None
        self.path = b""
        self.args: bytes | None = None
        self.host: bytes | None = None
        self.internal = False
        self.redirects = 0
        self.error = 0
        self.body = b""
        self.body_done = False  # a chunked body is whole
        self.owed = 0
        self.size = 0
        self.response: Response | None = None
        self.upstream: ResponseHead | None = None
        self.upstream_statuses: tuple[str, ...] = ()
        self.sent_uri = b""
        self.rest = b""
        self.taken = 0
        self.target_uri = ""
        self.proxy_host = ""
        self.shows = 0
        self.method = b""

    @property
    def followed(self) -> bool:
        """Whether another request came together with its head; not known behind chunks."""
        head = self.head
        return head is not None and not head.chunked and len(self.rest) > (head.length or 0)
