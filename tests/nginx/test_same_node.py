"""The same file picks the same nodes, in the same order, as the installed nginx."""

import pytest

from lab import sockets
from lab.nodes import greet

pytestmark = pytest.mark.needs("nginx")

NAMES = b"abcdefgh"


def order(lab, program, servers, *, sessions):
    """The names of the nodes that `sessions` sessions came to, one after the other."""
    port = lab.ports.free()
    upstream = f"upstream nodes {{ zone nodes 64k; {' '.join(f'server {s};' for s in servers)} }}"
    server = f"server {{ listen 127.0.0.1:{port}; proxy_pass nodes; }}"
    balancer = lab.balancer(f"{upstream}\n{server}", program=program)
    got = []
    for number in range(sessions):
        with sockets.open_raw(port) as client:
            got.append(sockets.receive(client, 1))
        balancer.wait_sessions(number + 1)
    balancer.clean_up()
    return b"".join(got)


CASES = {
    "3/2/1": ["weight=3", "weight=2", "weight=1"],
    "equal": ["", "", ""],
    "5/1/1": ["weight=5", "", ""],
    "7/3/2/2": ["weight=7", "weight=3", "weight=2", "weight=2"],
    "down": ["weight=3", "weight=2 down", "weight=1"],
    "backup": ["weight=3", "weight=2", "backup"],
    "down and backup": ["weight=2", "down", "backup", "weight=3"],
    "only backup lives": ["down", "backup weight=2", "backup"],
    "all down": ["down", "down"],
    "max_conns": ["max_conns=1", "weight=2"],
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_order_of_nodes(lab, case):
    nodes = [lab.node(greet(NAMES[i : i + 1])) for i in range(len(CASES[case]))]
    servers = [f"{n.address} {words}" for n, words in zip(nodes, CASES[case], strict=True)]
    ours, theirs = (order(lab, program, servers, sessions=24) for program in ("tidegate", "nginx"))
    assert ours == theirs


@pytest.mark.parametrize("case", ["3/2/1", "equal", "backup", "down and backup"])
def test_the_same_order_with_a_dead_node(lab, case):
    nodes = [lab.node(greet(NAMES[i : i + 1])) for i in range(len(CASES[case]))]
    servers = [
        f"{n.address} {words} fail_timeout=60s" for n, words in zip(nodes, CASES[case], strict=True)
    ]
    with nodes[0].refusing():
        ours, theirs = (
            order(lab, program, servers, sessions=18) for program in ("tidegate", "nginx")
        )
    assert ours == theirs
    assert b"a" not in ours


def test_3_2_1_is_a_b_a_c_b_a(lab):
    nodes = [lab.node(greet(NAMES[i : i + 1])) for i in range(3)]
    servers = [f"{n.address} weight={3 - i}" for i, n in enumerate(nodes)]
    assert order(lab, "tidegate", servers, sessions=12) == b"abacba" * 2
