"""At a limit accepting pauses: who waits is served when others leave, and no node is blamed."""

import contextlib
import select

import pytest

from lab import sockets
from lab.nodes import greet
from lab.waiting import wait_until

LIMIT = 120
CROWD = 150


def served(clients) -> list:
    """Those that have heard from a node."""
    readable = select.select(clients, [], [], 0)[0]
    return [client for client in readable if _greeted(client)]


def ended(clients) -> list:
    """Those that were closed on."""
    return [client for client in select.select(clients, [], [], 0)[0] if not _greeted(client)]


def _greeted(client) -> bool:
    with contextlib.suppress(OSError):
        return client.recv(1, 0x2) == b"!"  # MSG_PEEK
    return False


@pytest.mark.parametrize(
    "limit",
    [
        {"main": f"worker_rlimit_nofile {LIMIT};", "connections": 1024},
        {"connections": LIMIT},
    ],
    ids=["descriptors", "worker_connections"],
)
def test_the_limit_is_reached_and_left(lab, limit):
    nodes = [lab.node(greet(b"!")) for _ in range(2)]
    balancer, port = lab.in_front(*nodes, **limit)
    with contextlib.ExitStack() as held:
        clients = [held.enter_context(sockets.open_raw(port)) for _ in range(CROWD)]
        first = wait_until(
            lambda: (now := served(clients))[LIMIT // 4 :] and now, "some are served"
        )
        assert len(first) < CROWD
        for client in first:
            client.close()
        rest = [client for client in clients if client.fileno() >= 0]
        wait_until(
            lambda: len(served(rest)) + len(ended(rest)) == len(rest), "the rest is taken care of"
        )
        assert len(ended(rest)) <= 2  # had a descriptor, but none was left for their node
        assert len(served(rest)) > LIMIT // 4
    assert "temporarily disabled" not in balancer.errors()
    with sockets.open_raw(port) as client:
        assert sockets.receive(client, 1) == b"!"
    assert _complaints(balancer) in range(1, 6)


def _complaints(balancer) -> int:
    """Lines about the limit."""
    words = ("Too many open files", "worker_connections are not enough")
    return sum(any(word in line for word in words) for line in balancer.errors().splitlines())
