"""At a limit accepting pauses: who waits is served when others leave, and no node is blamed."""

import contextlib
import select

import pytest

from lab import sockets
from lab.nodes import greet
from lab.waiting import stays, wait_until

LIMIT = 120
CROWD = 150
ALLOWED_LOSSES = 2  # had a descriptor, but none was left for the connection to a node


def answered(clients) -> dict:
    """Each client that something has happened to: whether it was greeted, or closed on."""
    return {client: _greeted(client) for client in select.select(clients, [], [], 0)[0]}


def _greeted(client) -> bool:
    with contextlib.suppress(OSError):
        return client.recv(1) == b"!"
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
        wait_until(lambda: _complaints(balancer), "the limit is reached")
        results = []

        def all_came_to_an_end():
            for client, greeted in answered(clients).items():
                results.append(greeted)
                clients.remove(client)
                client.close()  # makes room for one that waits
            return not clients

        wait_until(all_came_to_an_end, "everybody is served, or sent away")
    lost = results.count(False)
    assert lost <= ALLOWED_LOSSES, f"{lost} of {CROWD} clients were sent away"
    assert "temporarily disabled" not in balancer.errors()
    with sockets.open_raw(port) as client:
        assert sockets.receive(client, 1) == b"!"
    assert _complaints(balancer) in range(1, 6)


# The listening socket is counted too, as in nginx.
@pytest.mark.parametrize(("limit", "sessions"), [(21, 10), (41, 20)])
def test_worker_connections_counts_both_ends(lab, limit, sessions):
    node = lab.node(greet(b"!"))
    balancer, port = lab.in_front(node, connections=limit)
    with contextlib.ExitStack() as held:
        for _ in range(sessions + 5):
            held.enter_context(sockets.open_raw(port))
        wait_until(lambda: _complaints(balancer), "the limit is reached")
        assert f"{limit} worker_connections are not enough" in balancer.errors()
        wait_until(lambda: node.active == sessions, f"{sessions} sessions")
        stays(lambda: node.active == sessions, "the others wait", seconds=0.2)


def _complaints(balancer) -> int:
    """Lines about the limit."""
    return sum(
        "are not enough, accepting paused" in line for line in balancer.errors().splitlines()
    )
