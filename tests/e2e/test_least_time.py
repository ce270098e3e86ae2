"""A node that is slow to let clients in gets few of them from all workers, while it is slow."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

import pytest

from lab import board, http, sockets
from lab.nodes import collect
from lab.packets import CONNACK_OK, connect, open_mqtt
from lab.process import read
from lab.waiting import wait_until

READ = "mqtt_preread on;"
LATE = 0.3


class Slow:
    """Lets clients in after `seconds`; None is never."""

    def __init__(self, seconds=0.0, answer=CONNACK_OK):
        self.seconds = seconds
        self.answer = answer

    async def __call__(self, session):
        if not await session.recv():
            return
        if self.seconds is not None:
            await asyncio.sleep(self.seconds)
            with contextlib.suppress(ConnectionError):
                await session.send(self.answer)
        await collect(session)


class World:
    """Two nodes, the first of them slow, and two workers in front."""

    def __init__(self, lab, method, *, more=READ, words="", workers=2, slow=LATE):
        self.slow = Slow(slow)
        self.nodes = [lab.node(self.slow), lab.node(Slow())]
        self.port = lab.ports.free()
        servers = " ".join(f"server {node.address} {words};" for node in self.nodes)
        self.balancer = lab.balancer(
            "log_format pid '$pid'; access_log pids.log pid;"
            f"upstream nodes {{ {method}; {servers} }}"
            f"server {{ listen 127.0.0.1:{self.port}; proxy_pass nodes; {more} }}",
            workers=workers,
        )

    def visit(self):
        """One client that leaves once it is let in; waits until the balancer knows."""
        before = len(self.logged())
        open_mqtt(self.port, "dev").close()
        wait_until(lambda: len(self.logged()) > before, "the session is over")

    def come(self, held):
        """One client that stays, let in or not; waits until it has a node."""
        before = sum(self.taken())
        client = held.enter_context(contextlib.closing(sockets.open_raw(self.port)))
        client.sendall(connect("dev"))
        wait_until(lambda: sum(self.taken()) > before, "the client has a node")

    def logged(self):
        return read(f"{self.balancer.folder}/pids.log").split()

    def taken(self):
        """How many sessions each node has had."""
        return [len(node.sessions) for node in self.nodes]

    def peers(self):
        """What `tidegate ctl upstreams` tells of the nodes."""
        (upstream,) = self.balancer.told("upstreams")["upstreams"]
        return upstream["peers"]

    def averages(self):
        return [peer["average_ms"] for peer in self.peers()]


@pytest.mark.parametrize("more", [READ, ""], ids=["MQTT is read", "MQTT is not read"])
@pytest.mark.parametrize("method", ["least_time first_byte", "random two least_time=first_byte"])
def test_the_slow_node_gets_few_of_those_who_stay(lab, method, more):
    world = World(lab, method, more=more, slow=1.0)
    with contextlib.ExitStack() as held:
        for number in range(60):
            held.enter_context(contextlib.closing(open_mqtt(world.port, f"dev{number}")))
        slow, quick = world.taken()
        assert slow + quick == 60
        # 1,000 ms count for 1,020, next to none for 20: 51 sessions there are as much as one here.
        assert 1 <= slow <= 10
    wait_until(lambda: len(world.logged()) == 60, "all sessions are logged")
    assert len(set(world.logged())) == 2, "both workers had sessions"
    late, soon = world.averages()
    assert late["first_byte"] >= 1000 > (soon["first_byte"] or 0)
    assert (late["connect"] or 0) < 1000


def test_sessions_that_wait_tell_that_a_node_hangs(lab):
    def taken(method):
        """How many clients go to a node that hangs, once three have waited there for a second."""
        world = World(lab, method, slow=0, words="max_fails=0")
        for _ in range(4):
            world.visit()
        assert min(world.taken()) > 0
        world.slow.seconds = None
        before = world.taken()[0]
        with contextlib.ExitStack() as held:
            while world.taken()[0] < before + 3:
                world.come(held)
            time.sleep(1)  # what the balancer is to see is their age
            for _ in range(40):
                world.come(held)
            return world.taken()[0] - before - 3

    # Those who wait there count as connections, and no more without `inflight`.
    assert taken("least_time first_byte") >= 6
    assert taken("least_time first_byte inflight") <= 3


def test_a_node_that_was_slow_is_tried_again(lab):
    world = World(lab, "least_time first_byte", words="fail_timeout=0 max_fails=0")
    began = time.monotonic()
    while not world.taken()[0]:
        world.visit()
        began = time.monotonic()
    slow = world.averages()[0]["first_byte"]
    assert slow >= 300
    world.slow.seconds = 0
    while world.taken()[0] == 1:
        world.visit()
        assert time.monotonic() - began < 60
    # Each second since it was chosen halves its time; four times makes 300 ms less than 20. It had
    # let the client in before `began`, and whole seconds count.
    assert time.monotonic() - began > 2
    assert world.averages()[0]["first_byte"] < slow


def test_averages_outlive_reloads_and_workers(lab):
    world = World(lab, "least_time first_byte")
    for _ in range(3):
        world.visit()
    before = world.averages()
    assert before[0]["first_byte"] >= 300
    generation = world.balancer.told("status")["generation"]
    conf = read(world.balancer.conf)
    with open(world.balancer.conf, "w", encoding="utf-8") as file:
        file.write(conf.replace("first_byte;", "first_byte inflight;"))
    world.balancer.send_signal(signal.SIGHUP)
    wait_until(
        lambda: world.balancer.told("status")["generation"] > generation, "the reload is done"
    )
    assert world.averages() == before
    workers = world.balancer.workers()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    world.balancer.wait_until(
        lambda: len(now := world.balancer.workers()) == 2 and not {*now} & {*workers},
        "others have their places",
    )
    assert world.averages() == before
    taken = world.taken()[0]
    world.visit()
    assert world.taken()[0] == taken


def test_a_node_that_refuses_quickly_is_not_preferred(lab):
    world = World(lab, "least_time first_byte", more="mqtt on;", slow=0)
    world.slow.answer = bytes((0x20, 2, 0, 5))
    for number in range(6):
        with contextlib.closing(sockets.open_raw(world.port)) as client:
            client.sendall(connect("dev"))
            assert len(sockets.receive(client, 4)) == 4
        wait_until(lambda n=number: len(world.logged()) > n, "the session is over")
    assert world.taken()[0] > 0
    assert set(world.averages()[0].values()) == {None}


@pytest.mark.parametrize("method", ["least_time header", "least_time last_byte"])
def test_requests_go_where_answers_come_soon(lab, method):
    brokers = [http.Broker(), http.Broker()]

    async def late(session):
        await asyncio.sleep(LATE)
        await brokers[0](session)

    nodes = [lab.node(late), lab.node(brokers[1])]
    port = lab.ports.free()
    servers = " ".join(f"server {node.address};" for node in nodes)
    balancer = http.balancer(
        lab,
        f"upstream nodes {{ {method}; {servers} }}"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://nodes; }} }}",
        workers=2,
    )
    for number in range(10):
        assert http.ask(port, http.get()).endswith(b"hello")
        wait_until(lambda n=number: len(read(balancer.access_log).splitlines()) > n, "a line")
    assert [len(broker.requests) for broker in brokers] == [1, 9]
    (upstream,) = balancer.told("upstreams")["upstreams"]
    late_ms, soon_ms = (peer["average_ms"]["last_byte"] or 0 for peer in upstream["peers"])
    assert late_ms >= 300 > soon_ms


def test_tunnels_go_where_the_handshake_is_soon_done_and_wait_no_longer_than_for_that(lab):
    brokers = [http.Broker(http.SWITCH), http.Broker(http.SWITCH)]

    async def late(session):
        await asyncio.sleep(1.0)
        await brokers[0](session)

    nodes = [lab.node(late), lab.node(brokers[1])]
    port = lab.ports.free()
    servers = " ".join(f"server {node.address};" for node in nodes)
    tunnel = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;"
    balancer = http.balancer(
        lab,
        f"upstream nodes {{ least_time header inflight; {servers} }}"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://nodes; {tunnel}"
        " proxy_set_header Connection upgrade; } }",
    )
    with contextlib.ExitStack() as held:
        for _ in range(6):
            client = held.enter_context(contextlib.closing(sockets.open_raw(port)))
            client.sendall(http.upgrade())
            assert sockets.receive(client, 12) == b"HTTP/1.1 101"
        (upstream,) = balancer.told("upstreams")["upstreams"]
        late_ms, soon_ms = (peer["average_ms"]["first_byte"] or 0 for peer in upstream["peers"])
        assert late_ms >= 1000 > soon_ms
        assert [len(broker.requests) for broker in brokers] == [1, 5]
        assert [row.inflight for row in board.rows(balancer.pid, 2)] == [0, 0]
