"""A node is killed and restarted while clients come again without end; where do they go?"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import storm_node
from lab.process import read
from lab.waiting import wait_until

CLIENTS = int(os.environ.get("TIDEGATE_STORM_CLIENTS", "600"))
SECONDS = float(os.environ.get("TIDEGATE_STORM_SECONDS", "4"))
# Every client comes again twice while the node comes back.
RATE = 2 * CLIENTS / SECONDS
# Of a worker: two for each client, more while clients change places.
CONNECTIONS = 3 * CLIENTS + 1024
PROGRAMS = 2  # of clients, each with its own descriptors
SLICES = 6
# What a machine that has other work may be late by: a client's CONNECT reaches its node somewhat
# after the node was chosen.
LATE = 0.25
TESTS = Path(storm_node.__file__).parent.parent
START_SECONDS = 60


@dataclass
class Storm:
    """What came of one: the times of sessions at the restarted node and at the two others."""

    began: float  # when the restarted node had its first session
    there: list[float]
    elsewhere: list[float]
    refused: list[float]

    def slices(self):
        """For each slice of the way back: how many came to the node, and how many in all."""
        for number in range(SLICES):
            first = self.began + number * SECONDS / SLICES
            last = first + SECONDS / SLICES
            there, elsewhere = (
                sum(first <= one < last for one in times) for times in (self.there, self.elsewhere)
            )
            yield there, there + elsewhere


def running(lab, module, *words):
    """A program of the lab."""
    argv = ["env", f"PYTHONPATH={TESTS}", sys.executable, "-m", f"lab.{module}", *words]
    return lab.running(argv, name=module)


def running_node(lab, port):
    program = running(lab, "storm_node", port)
    program.wait_for_output("ready", timeout=START_SECONDS)
    return program


def times(*programs):
    """What they printed of times."""
    words = "".join(read(path) for program in programs for path in program.logs).split()
    return [float(word) for word in words if word[0].isdigit()]


def storm(lab, *, method, slow_start, until):
    """Kill and restart one of three nodes in a storm that lasts until `until` seconds later."""
    ports = [lab.ports.free() for _ in range(4)]
    *node_ports, port = ports
    nodes = [running_node(lab, one) for one in node_ports]
    more = f"fail_timeout=1s {slow_start}"
    servers = "".join(f"server 127.0.0.1:{one} {more};" for one in node_ports)
    balancer = lab.balancer(
        f"upstream nodes {{ {method} {servers} }}"
        f"server {{ listen 127.0.0.1:{port}; proxy_pass nodes; }}",
        workers=2,
        connections=CONNECTIONS,
        level="warn",
    )
    clients = [
        running(lab, "storm_clients", port, CLIENTS // PROGRAMS, RATE / PROGRAMS)
        for _ in range(PROGRAMS)
    ]
    for program in clients:
        program.wait_for_output("connected", timeout=START_SECONDS)
    nodes[2].kill()
    balancer.wait_until(
        lambda: "temporarily disabled" in balancer.errors(), "the dead node is out of service"
    )
    again = running_node(lab, node_ports[2])
    [began, *_] = wait_until(lambda: times(again), "somebody comes to the restarted node")
    wait_until(
        lambda: time.monotonic() > began + until + 0.5, "the storm is over", timeout=until + 30
    )
    for program in (*clients, *nodes[:2], again):
        program.kill()
    return Storm(began, times(again), times(*nodes[:2]), times(*clients))


def assert_ramp(storm):
    """New sessions at the node are its share of all, which grows with the time."""
    found = list(storm.slices())
    for number, (there, total) in enumerate(found):
        least = max(0.0, number / SLICES - LATE)
        most = min(1.0, (number + 1) / SLICES + LATE)
        told = f"slice {number} of (there, in all): {found}"
        assert total > RATE * SECONDS / SLICES / 5, told
        assert there <= total * most / (2 + most) + 3, told
        assert there >= total * least / (2 + least) - 3, told


@pytest.mark.parametrize("method", ["", "least_conn;"])
def test_its_rate_of_new_sessions_follows_the_ramp(lab, many_descriptors, method):
    assert many_descriptors > CONNECTIONS
    seen = storm(lab, method=method, slow_start=f"slow_start={SECONDS * 1000:.0f}ms", until=SECONDS)
    assert_ramp(seen)
    # Nobody was turned away for it.
    assert [one for one in seen.refused if one > seen.began] == []


def test_without_slow_start_least_conn_floods_it(lab, many_descriptors):
    assert many_descriptors > CONNECTIONS
    seen = storm(lab, method="least_conn;", slow_start="", until=SECONDS / SLICES)
    # The first tenth of the clients; to be as full as the others it would take a third.
    after = sorted(one for one in (*seen.there, *seen.elsewhere) if one >= seen.began)
    last = after[CLIENTS // 10 - 1]
    assert sum(one <= last for one in seen.there) > CLIENTS / 10 * 0.8
    with pytest.raises(AssertionError, match="slice 0"):
        assert_ramp(seen)
