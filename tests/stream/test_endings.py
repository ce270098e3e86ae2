"""How a session ended is told in nginx's words, and by whom, at the level that fits."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
from dataclasses import dataclass

import pytest

from lab.engine import until
from lab.sockets import reset
from tidegate.config.model import Level
from tidegate.stream.endings import lines_of


@dataclass
class Report:
    """What of the engine's report counts here."""

    reason: str
    error: int = 0
    bytes_received: int = 1
    bytes_sent: int = 2
    upstream_bytes_received: int = 3
    upstream_bytes_sent: int = 4


BYTES = ", bytes from/to client:1/2, bytes from/to upstream:3/4"


def told(*report, relayed=True):
    lines = lines_of(Report(*report), relayed=relayed)
    return [(line.level, line.message) for line in lines]


@pytest.mark.parametrize("side", ["client", "upstream"])
def test_an_end_in_order_is_one_line(side):
    assert told(f"{side}_closed") == [(Level.INFO, f"{side} disconnected{BYTES}")]
    # What came behind the end, as a write that failed, is no news.
    assert told(f"{side}_closed", -errno.EPIPE) == [(Level.INFO, f"{side} disconnected{BYTES}")]


@pytest.mark.parametrize(("side", "level"), [("client", Level.INFO), ("upstream", Level.ERROR)])
def test_who_breaks_off_is_told_with_the_systems_reason(side, level):
    assert told(f"{side}_error", errno.ECONNRESET) == [
        (
            level,
            f"recv() failed (104: Connection reset by peer) while proxying and reading from {side}",
        ),
        (Level.INFO, f"{side} disconnected{BYTES}"),
    ]
    assert told(f"{side}_error", -errno.EPIPE)[0] == (
        level,
        f"writev() failed (32: Broken pipe) while proxying and sending to {side}",
    )


def test_a_time_out_is_told_by_its_phase():
    assert told("timed_out") == [
        (Level.INFO, "connection timed out (110: Connection timed out) while proxying connection")
    ]
    assert told("timed_out", relayed=False) == [
        (Level.INFO, "client timed out (110: Connection timed out) while prereading client data")
    ]


def test_a_want_of_memory_is_told():
    assert told("failed") == [
        (Level.CRIT, "no memory for the session (12: Cannot allocate memory)")
    ]


@pytest.mark.parametrize("reason", ["refused", "killed"])
def test_of_other_ends_there_is_nothing_to_tell(reason):
    assert told(reason) == []


def test_a_node_that_breaks_off_is_an_error_with_all_details(stream, entrance):
    with socket.create_server(("127.0.0.1", 0)) as node:
        node.setblocking(False)
        port = node.getsockname()[1]
        rig = stream(f"server {{ listen 127.0.0.1:1; proxy_pass 127.0.0.1:{port}; }}")

        async def main():
            rig.serve(entrance)
            loop = asyncio.get_running_loop()
            reader, writer = await asyncio.open_connection(*entrance.getsockname())
            writer.write(b"abc")
            far, _ = await loop.sock_accept(node)
            assert await loop.sock_recv(far, 100) == b"abc"
            reset(far)
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            await until(lambda: rig.engine.active == 0)

        rig.run(main)
    expected = (
        "*1 recv() failed (104: Connection reset by peer) while proxying and reading from upstream"
        f', client: 127.0.0.1, server: 127.0.0.1:1, upstream: "127.0.0.1:{port}"'
        ", bytes from/to client:3/0, bytes from/to upstream:0/3"
    )
    assert rig.lines.errors == [("error", expected)]


def test_a_client_that_breaks_off_is_no_error(stream, entrance):
    with socket.create_server(("127.0.0.1", 0)) as node:
        node.setblocking(False)
        port = node.getsockname()[1]
        rig = stream(
            f"server {{ listen 127.0.0.1:1; proxy_pass 127.0.0.1:{port}; }}", level=Level.INFO
        )

        async def main():
            rig.serve(entrance)
            loop = asyncio.get_running_loop()
            client = socket.socket()
            client.setblocking(False)
            await loop.sock_connect(client, entrance.getsockname())
            await loop.sock_sendall(client, b"abc")
            far, _ = await loop.sock_accept(node)
            assert await loop.sock_recv(far, 100) == b"abc"
            reset(client)
            await until(lambda: rig.engine.active == 0)
            far.close()

        rig.run(main)
    (level, line), last = rig.lines.errors[-2:]
    assert level == "info"
    assert re.match(r"\*1 recv\(\) failed \(104: .*\) while proxying and reading from client", line)
    assert "client disconnected" in last[1]
