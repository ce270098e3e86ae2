"""`proxy_timeout`, `proxy_upload_rate` and `proxy_download_rate` hold, without losing a byte."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest

from lab import sockets
from lab.nodes import collect, greet
from lab.waiting import wait_until

SIZE = 400_000
RATE = "200k"  # the first second's worth goes at once, as in nginx: SIZE takes about a second


def test_a_silent_session_ends_after_proxy_timeout(lab):
    node, short, long = lab.node(), lab.ports.free(), lab.ports.free()
    balancer = lab.balancer(
        f"server {{ listen 127.0.0.1:{long}; proxy_pass {node.address}; }}"
        f"server {{ listen 127.0.0.1:{short}; proxy_pass {node.address}; proxy_timeout 400ms; }}"
    )
    started = time.monotonic()
    with sockets.open_raw(long) as stays, sockets.open_raw(short) as client:
        assert sockets.receive_all(client) == b""
        assert 0.35 < time.monotonic() - started < 5
        assert [session["status"] for session in balancer.wait_sessions(1)] == ["200"]
        stays.sendall(b"still here")
        assert sockets.receive(stays, 10) == b"still here"


def test_traffic_in_one_direction_keeps_a_session(lab):
    _, port = lab.in_front(lab.node(collect), more="proxy_timeout 1s;")
    with sockets.open_raw(port) as client:
        ends = time.monotonic() + 2.5
        while time.monotonic() < ends:
            client.sendall(b"x")
            time.sleep(0.1)
        client.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            assert client.recv(1), "closed in spite of traffic"


def test_download_rate(lab):
    node = lab.node(greet(b"x" * SIZE))
    _, port = lab.in_front(node, more=f"proxy_download_rate {RATE};")
    started = time.monotonic()
    with sockets.open_raw(port) as client:
        assert len(sockets.receive(client, SIZE)) == SIZE
    assert 0.8 < time.monotonic() - started < 10


def test_upload_rate(lab):
    node = lab.node(collect)
    _, port = lab.in_front(node, more=f"proxy_upload_rate {RATE};")
    started = time.monotonic()
    with sockets.open_raw(port) as client:
        client.sendall(b"x" * SIZE)
        wait_until(lambda: node.sessions and node.sessions[0].total == SIZE, "all arrives")
    assert 0.8 < time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("more", "up", "down"),
    [
        ("", True, True),
        ("proxy_upload_rate 0; proxy_download_rate 1k;", True, False),
        ("proxy_upload_rate 1k; proxy_download_rate 0;", False, True),
    ],
)
def test_a_rate_holds_one_direction_only(lab, more, up, down):
    async def pour_and_collect(session):
        await asyncio.gather(session.send(b"x" * SIZE), collect(session))

    node = lab.node(pour_and_collect)
    balancer, port = lab.in_front(node, more=more)
    with sockets.open_raw(port) as client:
        sender = threading.Thread(target=send, args=(client, b"x" * SIZE))
        sender.start()
        if down:
            assert len(sockets.receive(client, SIZE)) == SIZE
        if up:
            wait_until(lambda: node.sessions and node.sessions[0].total == SIZE, "all arrives")
        client.shutdown(socket.SHUT_WR)
        sender.join()
        balancer.stop()
    [session] = balancer.sessions()
    # Where a rate holds, all of it would take minutes.
    assert (int(session["bytes_received"]) == SIZE) == up
    assert (int(session["upstream_bytes_received"]) == SIZE) == down


def send(client, data):
    """Send all of it, or until the socket is shut down."""
    with contextlib.suppress(BrokenPipeError):
        client.sendall(data)
