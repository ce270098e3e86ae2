"""One request of each kind before the first real one, so that everything is imported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tidegate.http.local import FILES, ORDER, STUB_STATUS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope


async def rehearse(app: ASGIApp) -> None:
    """Send requests whose answers nobody reads; raises what the application raises."""
    here = json.dumps({"method": "GET", "index": [], "tries": [(__file__, "/", "text/plain")]})
    file = json.dumps({"method": "GET", "index": [], "tries": [(__file__, "/x", "text/plain")]})
    for target, order, more in (
        (STUB_STATUS, json.dumps({"method": "GET"}), []),
        (FILES, here, []),
        (FILES, file, []),
        (FILES, file, [(b"range", b"bytes=0-0,2-2")]),
        (FILES, file, [(b"if-modified-since", b"Thu, 01 Jan 2099 00:00:00 GMT")]),
    ):
        await app(_scope(target, [(ORDER, order.encode()), *more]), _receive, _send)


def _scope(target: str, headers: list[tuple[bytes, bytes]]) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": None,
        "server": None,
    }


async def _receive() -> Message:
    return {"type": "http.disconnect"}


async def _send(message: Message) -> None:
    del message
