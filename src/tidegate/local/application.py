"""The application that the control process serves to the workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount, Route

from tidegate.http.local import FILES, ORDER, STUB_STATUS, VERDICT, Verdict
from tidegate.local.files import OrderedFiles
from tidegate.observe.status import stub_status

if TYPE_CHECKING:
    from starlette.requests import Request

    from tidegate.scoreboard.board import Board

NOT_ALLOWED = 405


def application(board: Board) -> Starlette:
    """Make the application; `board` is where the status page has its numbers from."""

    async def status(request: Request) -> Response:
        order = json.loads(request.headers[ORDER.decode()])
        if order["method"] not in {"GET", "HEAD"}:
            return told(Verdict(status=NOT_ALLOWED))
        # As bytes, or the framework would name a character set.
        return Response(stub_status(board), headers={"content-type": "text/plain"})

    return Starlette(routes=[Route(STUB_STATUS, status), Mount(FILES, OrderedFiles(told))])


def told(verdict: Verdict) -> Response:
    """An answer that is for the worker."""
    headers = {VERDICT.decode(): verdict.header().decode()}
    return Response(status_code=verdict.status, headers=headers)
