"""What methods promise of nodes in use holds with any number of workers, also under load."""

import asyncio
import contextlib
import random
from collections import Counter

import pytest

from lab import sockets
from lab.nodes import greet
from lab.process import read
from lab.waiting import wait_until

NAMES = b"abcdefgh"
each_number = pytest.mark.parametrize("workers", [1, 2, 8])


def in_front(lab, words, *, workers, method=""):
    """A balancer, its port, and the log of who served; the words stand behind each server."""
    nodes = [lab.node(greet(NAMES[number : number + 1])) for number in range(len(words))]
    servers = " ".join(f"server {n.address} {w};" for n, w in zip(nodes, words, strict=True))
    port = lab.ports.free()
    balancer = lab.balancer(
        "log_format pid '$pid'; access_log pids.log pid;"
        f"upstream nodes {{ {method} {servers} }}"
        f"server {{ listen 127.0.0.1:{port}; proxy_pass nodes; }}",
        workers=workers,
        connections=4096,
    )
    return balancer, port


def served(balancer):
    """How many workers had sessions."""
    return len(set(read(f"{balancer.folder}/pids.log").split()))


def come(stack, port):
    """A client that stays; the letter of its node, "" where it is refused."""
    client = stack.enter_context(contextlib.closing(sockets.open_raw(port)))
    return client, sockets.receive(client, 1).decode()


@each_number
def test_random_two_never_takes_the_worst_node(lab, many_descriptors, workers):
    assert many_descriptors > 2000
    weights = dict(zip("abcd", (1, 2, 3, 2), strict=True))
    words = [f"weight={weight}" for weight in weights.values()]
    balancer, port = in_front(lab, words, workers=workers, method="random two least_conn;")
    chance = random.Random(5)
    load = Counter(dict.fromkeys(weights, 0))
    living, ended = [], 0
    with contextlib.ExitStack() as held:
        for _ in range(200):
            before = {name: load[name] / weights[name] for name in weights}
            client, name = come(held, port)
            living.append((client, name))
            load[name] += 1
            others = [before[other] for other in weights if other != name]
            assert before[name] <= max(others)
            if chance.random() < 0.4:
                client, name = living.pop(chance.randrange(len(living)))
                client.close()
                load[name] -= 1
                ended += 1
                balancer.wait_sessions(ended)
    balancer.wait_sessions(200)
    assert min(load.values()) > 0
    assert served(balancer) > 1 or workers == 1


@each_number
def test_random_follows_the_weights(lab, many_descriptors, workers):
    assert many_descriptors > 2000
    words = ["weight=1", "weight=2", "weight=3"]
    balancer, port = in_front(lab, words, workers=workers, method="random;")
    with contextlib.ExitStack() as held:
        got = Counter(come(held, port)[1] for _ in range(600))
    # Seven deviations: by luck once in a hundred thousand million runs.
    for name, weight in zip("abc", (1, 2, 3), strict=True):
        share = weight / 6
        assert abs(got[name] - 600 * share) < 7 * (600 * share * (1 - share)) ** 0.5
    balancer.wait_sessions(600)
    assert served(balancer) > 1 or workers == 1


class Crowd:
    """Clients that come and go at the same time, and how many of them each node has.

    A client counts from the moment it hears of its node until before it closes, so never longer
    than the balancer counts it.
    """

    def __init__(self, port, most):
        self.port = port
        self.most = most
        self.now = Counter()
        self.peak = Counter()
        self.refused = 0

    async def run(self, clients, visits):
        async with asyncio.timeout(90):
            await asyncio.gather(*(self.client(number, visits) for number in range(clients)))

    async def client(self, number, visits):
        chance = random.Random(number)
        for _ in range(visits):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            name = (await reader.read(1)).decode()
            if name:
                self.now[name] += 1
                self.peak[name] = max(self.peak[name], self.now[name])
                assert self.now[name] <= self.most[name], f"{name} has {self.now[name]}"
                await asyncio.sleep(chance.uniform(0, 0.01))
                self.now[name] -= 1
            else:
                self.refused += 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.mark.parametrize(
    ("method", "workers"),
    [
        *(("", workers) for workers in (1, 2, 8)),
        *((method, 8) for method in ("least_conn;", "random two;", "hash $remote_port;")),
    ],
)
def test_max_conns_is_exact_under_load(lab, many_descriptors, method, workers):
    assert many_descriptors > 2000
    most = {"a": 7, "b": 3, "c": 5}
    words = [f"max_conns={number} max_fails=0" for number in most.values()]
    balancer, port = in_front(lab, words, workers=workers, method=method)
    crowd = Crowd(port, most)
    asyncio.run(crowd.run(clients=40, visits=20))
    assert crowd.refused
    assert crowd.peak == most
    balancer.wait_sessions(800)
    assert served(balancer) > 1 or workers == 1
    # All are back: as many as before find a place, and not one more.
    with contextlib.ExitStack() as held:
        found = Counter()
        wait_until(
            lambda: found.update([come(held, port)[1]]) or found.total() - found[""] == 15,
            "all places are taken",
        )
        del found[""]
        assert found == most
        assert [come(held, port)[1] for _ in range(5)] == [""] * 5
