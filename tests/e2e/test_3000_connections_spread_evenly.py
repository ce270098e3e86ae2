"""Many clients at once over many workers: the nodes' shares differ by at most one choice."""

import os
import random
import signal
import threading

import pytest

from lab import board, sockets
from lab.nodes import greet
from lab.waiting import wait_until

CLIENTS, EACH = 50, 60
WORKERS = 8


def one_client(port, count, lost):
    """Open connections one after the other; `lost` collects those that a killed worker took."""
    for _ in range(count):
        try:
            with sockets.open_raw(port) as client:
                if sockets.receive(client, 1) != b"!":
                    lost.append(1)
        except OSError:
            lost.append(1)


def open_all(port) -> list[int]:
    """All connections of all clients; returns one entry per lost one."""
    lost = []
    threads = [threading.Thread(target=one_client, args=(port, EACH, lost)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return lost


@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 2, 1)], ids=["equal", "3-2-1"])
def test_shares_differ_by_at_most_one(lab, weights):
    nodes = [lab.node(greet(b"!"), keep=False) for _ in weights]
    servers = [f"{n.address} weight={w}" for n, w in zip(nodes, weights, strict=True)]
    _, port = lab.in_front(*servers, workers=WORKERS, level="error")
    assert open_all(port) == []
    counts = [node.accepted for node in nodes]
    assert sum(counts) == CLIENTS * EACH
    assert all(
        abs(count - CLIENTS * EACH * weight / sum(weights)) <= 1
        for count, weight in zip(counts, weights, strict=True)
    ), counts


@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 2, 1)], ids=["equal", "3-2-1"])
def test_also_while_workers_are_killed(lab, weights):
    nodes = [lab.node(greet(b"!"), keep=False) for _ in weights]
    servers = [f"{n.address} weight={w}" for n, w in zip(nodes, weights, strict=True)]
    balancer, port = lab.in_front(*servers, workers=WORKERS, level="error")
    stop = threading.Event()
    killed = []

    def kill():
        while not stop.wait(0.25) and len(killed) < 6:
            if workers := balancer.workers():
                killed.append(random.choice(workers))
                os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        lost = open_all(port)
    finally:
        stop.set()
        killer.join()
    assert killed
    rows = board.rows(balancer.pid, len(nodes))
    total = sum(row.selected for row in rows)
    assert total >= CLIENTS * EACH - len(lost)
    shares = [row.selected / weight for row, weight in zip(rows, weights, strict=True)]
    assert max(shares) - min(shares) <= 1, [row.selected for row in rows]
    wait_until(lambda: len(balancer.workers()) == WORKERS, "all workers are replaced")
    wait_until(
        lambda: [row.conns for row in board.rows(balancer.pid, len(nodes))] == [0] * len(nodes),
        "what dead workers held is given back",
    )
