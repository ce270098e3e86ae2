"""Many reloads, a session held from each: memory and descriptors stay those of the sessions."""

import os
import signal

import pytest

from lab import proc, sockets
from lab.waiting import wait_until

# `make soak` goes on to 300.
RELOADS = int(os.environ.get("TIDEGATE_SOAK_RELOADS", "80"))
FIRST = 20
GROWTH = 2 * 2**20


def measured(balancer) -> dict[int, tuple[int, int]]:
    """Private memory and open descriptors of master and workers."""
    pids = [balancer.pid, *balancer.workers()]
    return {pid: (1024 * proc.own_kib(pid), len(os.listdir(f"/proc/{pid}/fd"))) for pid in pids}


@pytest.mark.parametrize("weights", [(1,), (1, 2)], ids=["the same file", "a weight changes"])
def test_reloads_with_sessions_held_from_each_of_them(lab, weights):
    node = lab.node(keep=False)
    balancer, port = lab.in_front(node, workers=2, level="notice")
    with open(balancer.conf, encoding="utf-8") as file:
        text = file.read()
    held, before = [], {}
    try:
        for count in range(1, RELOADS + 1):
            weight = weights[count % len(weights)]
            with open(balancer.conf, "w", encoding="utf-8") as file:
                file.write(text.replace(f"{node.address};", f"{node.address} weight={weight};"))
            balancer.send_signal(signal.SIGHUP)
            wait_until(
                lambda n=count: f": generation {n} → {n + 1}" in balancer.errors(),
                f"reload {count} is done",
                context=balancer.errors,
            )
            client = sockets.open_raw(port)
            client.sendall(b"held")
            assert sockets.receive(client, 4) == b"held"
            held.append(client)
            if count == FIRST:
                before = measured(balancer)
        after = measured(balancer)
        for client in held:
            client.sendall(b"still")
            assert sockets.receive(client, 5) == b"still"
    finally:
        for client in held:
            client.close()
    assert before.keys() == after.keys()
    assert (f"weight 1→2 of {node.address}" in balancer.errors()) == (len(weights) > 1)
    grown = {pid: after[pid][0] - before[pid][0] for pid in after}
    assert max(grown.values()) <= GROWTH, grown
    # Two descriptors for each session, and nothing else.
    opened = sum(after[pid][1] - before[pid][1] for pid in after)
    assert opened == 2 * (RELOADS - FIRST)
