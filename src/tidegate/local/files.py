"""Files for clients: found by an order, sent by the framework's class for static files."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles

from tidegate.http.local import ORDER, Verdict
from tidegate.local.lookup import Listed, look_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Receive, Scope, Send

    from tidegate.local.lookup import Found

# What is read of a file at once. With what the web server keeps for a client that reads slowly, and
# the socket, this is all that such a one costs.
CHUNK = 32 * 1024
# Named in this way no character set is added to it.
HTML = {"content-type": "text/html"}


class OrderedFiles(StaticFiles):
    """Static files of any folder; `told` makes an answer of what is for the worker."""

    def __init__(self, told: Callable[[Verdict], Response]) -> None:
        super().__init__(directory="/", follow_symlink=True)
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        order = json.loads(Headers(scope=scope)[ORDER.decode()])
        found = await run_in_threadpool(look_up, order)
        if isinstance(found, Verdict):
            await self._told(found)(scope, receive, send)
            return
        if isinstance(found, Listed):
            await Response(found.page, headers=HTML)(scope, receive, send)
            return
        try:
            await self._answer(found, scope)(scope, receive, exactly(send))
        finally:
            os.close(found.fd)

    def _answer(self, found: Found, scope: Scope) -> Response:
        # By its descriptor, so that it is this file, whatever has its name by now.
        answer = OneFile(
            f"/proc/self/fd/{found.fd}",
            # Named in this way no character set is added to it.
            headers={"content-type": found.media_type},
            media_type=found.media_type,
            stat_result=found.status,
        )
        if self.is_not_modified(answer.headers, Headers(scope=scope)):
            return NotModifiedResponse(answer.headers)
        return answer


class OneFile(FileResponse):
    """A file in small pieces."""

    chunk_size = CHUNK


def exactly(send: Send) -> Send:
    """Send no more of a body than its Content-Length, though the file may grow meanwhile."""
    left = 0
    ended = False

    async def sends(message: Message) -> None:
        nonlocal left, ended
        if message["type"] == "http.response.start":
            left = int(dict(message["headers"]).get(b"content-length", b"0"))
            await send(message)
        elif not ended:
            body = message.get("body", b"")[:left]
            left -= len(body)
            ended = not left or not message.get("more_body", False)
            await send({**message, "body": body, "more_body": not ended})

    return sends
