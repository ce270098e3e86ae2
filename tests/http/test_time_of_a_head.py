"""How long a client may take for the head of a request."""

from __future__ import annotations

import asyncio
import socket

import pytest

from lab.http_rig import HttpRig, run
from tidegate.config.model import Level

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CONF = (
    "log_format l '$status'; access_log a.log l; client_header_timeout 300ms;"
    " server { listen 8083; keepalive_timeout 1h; location / { return 200 own; } }"
)


@pytest.mark.parametrize("before", [0, 1])
def test_each_head_has_client_header_timeout(tmp_path, before):
    rig = HttpRig(CONF, tmp_path, level=Level.INFO)

    async def main():
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        for _ in range(before):
            writer.write(REQUEST)
            await reader.readuntil(b"own")
        writer.write(REQUEST[:20])
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()

    with socket.create_server(("127.0.0.1", 0)) as entrance:
        run(rig, entrance, main)
    rig.close()
    assert rig.troubles == []
    assert rig.lines.access == ["200"] * before + ["408"]
