"""`proxy_timeout`, `proxy_upload_rate` and `proxy_download_rate` hold, without losing a byte."""

import contextlib
import time

from lab import sockets
from lab.nodes import collect, greet
from lab.waiting import wait_until

SIZE = 400_000
RATE = "200k"  # the first second's worth goes at once, as in nginx: SIZE takes about a second


def test_a_silent_session_ends_after_proxy_timeout(lab):
    balancer, port = lab.in_front(lab.node(), more="proxy_timeout 400ms;")
    started = time.monotonic()
    with sockets.open_raw(port) as client:
        assert sockets.receive_all(client) == b""
    assert 0.35 < time.monotonic() - started < 5
    assert balancer.wait_sessions(1)[0]["status"] == "200"


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


def test_a_rate_holds_one_direction_only(lab):
    node = lab.node(collect)
    _, port = lab.in_front(node, more="proxy_download_rate 1k;")
    with sockets.open_raw(port) as client:
        client.sendall(b"x" * SIZE)
        wait_until(
            lambda: node.sessions and node.sessions[0].total == SIZE, "all arrives", timeout=5
        )
