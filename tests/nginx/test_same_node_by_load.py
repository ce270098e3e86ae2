"""`least_conn`: sessions that stay open lead to the same nodes as with the installed nginx."""

import contextlib
import random

import pytest

from lab import sockets
from lab.nodes import greet

pytestmark = pytest.mark.needs("nginx")

NAMES = b"abcdefgh"
CASES = {
    "equal": ["", "", "", ""],
    "weights": ["weight=3", "weight=2", ""],
    "down": ["", "down", "weight=2", ""],
    "backup": ["max_conns=3", "max_conns=2", "backup", "backup weight=2"],
    "max_conns": ["max_conns=2", "weight=2", ""],
}


def order(lab, program, servers, *, workers):
    """The names of the nodes that 40 sessions came to, a third of which ended meanwhile."""
    port = lab.ports.free()
    text = " ".join(f"server {server};" for server in servers)
    balancer = lab.balancer(
        f"upstream nodes {{ zone nodes 64k; least_conn; {text} }}\n"
        f"server {{ listen 127.0.0.1:{port}; proxy_pass nodes; }}",
        program=program,
        workers=workers,
    )
    chance = random.Random(7)
    names, living, ended = [], [], 0
    with contextlib.ExitStack() as held:
        for _ in range(40):
            client = held.enter_context(contextlib.closing(sockets.open_raw(port)))
            names.append(sockets.receive(client, 1))
            living.append(client)
            if chance.random() < 1 / 3:
                living.pop(chance.randrange(len(living))).close()
                ended += 1
                balancer.wait_sessions(ended)
    balancer.clean_up()
    return names


@pytest.mark.parametrize(
    ("case", "workers"), [*((case, 1) for case in CASES), ("weights", 4), ("backup", 4)]
)
def test_least_conn_fills_the_same_nodes(lab, case, workers):
    words = CASES[case]
    nodes = [lab.node(greet(NAMES[number : number + 1])) for number in range(len(words))]
    servers = [f"{node.address} {word}" for node, word in zip(nodes, words, strict=True)]
    ours = order(lab, "tidegate", servers, workers=workers)
    assert ours == order(lab, "nginx", servers, workers=1)
    assert len(set(ours)) == len([word for word in words if word != "down"])
