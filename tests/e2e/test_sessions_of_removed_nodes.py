"""`proxy_session_drop`: whether the sessions of a node end when a reload removes it."""

import signal

import pytest

from lab import sockets
from lab.balancer import whole
from lab.nodes import echo
from lab.packets import CONNACK_OK, connect
from lab.traffic import Traffic
from lab.waiting import stays, wait_until

CLIENTS = 12


class Rig:
    """A balancer whose upstream and server block the test changes by reloads."""

    def __init__(self, lab, upstream, more, *, connections=1024):
        self.port = lab.ports.free()
        self.reloads = 0
        self.connections = connections
        self.balancer = lab.idle_balancer(self.text(upstream, more))
        self.balancer.start()
        self.balancer.wait_ready([self.port], 2)

    def text(self, upstream, more):
        server = f"server {{ listen 127.0.0.1:{self.port}; {more} }}"
        connections = self.connections
        return whole(f"{upstream} {server}", workers=2, level="info", connections=connections)

    def sessions(self) -> int:
        return sum(one["sessions"] for one in self.balancer.told("status")["workers"])

    def reload(self, upstream, more):
        with open(self.balancer.conf, "w", encoding="utf-8") as file:
            file.write(self.text(upstream, more))
        self.balancer.send_signal(signal.SIGHUP)
        self.reloads += 1
        wait_until(
            lambda: f": generation {self.reloads} → " in self.balancer.errors(),
            "the reload is done",
            context=self.balancer.errors,
        )


def upstream_of(*nodes):
    return f"upstream u {{ {' '.join(f'server {node.address};' for node in nodes)} }}"


def clients_of(rig, count=CLIENTS):
    clients = [sockets.open_raw(rig.port) for _ in range(count)]
    for client in clients:
        assert alive(client)
    return clients


def alive(client) -> bool:
    """Whether the session echoes."""
    try:
        client.sendall(b"hello")
        return sockets.receive(client, 5) == b"hello"
    except OSError:
        return False


# What becomes of an upstream with two nodes: the second is no more.
WAYS = {
    "removed": ("upstream u {{ server {first}; }}", "proxy_pass u;"),
    "down": ("upstream u {{ server {first}; server {second} down; }}", "proxy_pass u;"),
    "another name": ("upstream v {{ server {first}; }}", "proxy_pass v;"),
    "no upstream": ("", "proxy_pass {first};"),
}


@pytest.mark.parametrize("word", ["on", "off"])
@pytest.mark.parametrize("way", WAYS)
def test_proxy_session_drop(lab, word, way):
    first, second = lab.node(), lab.node()
    names = {"first": first.address, "second": second.address}
    upstream = "upstream u {{ server {first}; server {second}; }}".format(**names)
    rig = Rig(lab, upstream, f"proxy_pass u; proxy_session_drop {word};")
    clients = clients_of(rig)
    assert (first.active, second.active) == (CLIENTS // 2, CLIENTS // 2)
    upstream, content = (text.format(**names) for text in WAYS[way])
    rig.reload(upstream, f"{content} proxy_session_drop {word};")
    if word == "on":
        wait_until(lambda: second.active == 0, "the sessions of the node end")
    else:
        stays(lambda: second.active == CLIENTS // 2, "no session ends", seconds=0.5)
    left = CLIENTS // 2 if word == "on" else CLIENTS
    assert sum(map(alive, clients)) == left
    told = rig.balancer.errors().count("upstream server was removed, closing session")
    assert told == CLIENTS - left
    for client in clients:
        client.close()
    assert len(rig.balancer.wait_sessions(CLIENTS)) == CLIENTS


def test_what_the_new_file_says_counts_for_sessions_of_the_old(lab):
    first, second = lab.node(), lab.node()
    rig = Rig(lab, upstream_of(first, second), "proxy_pass u;")
    clients = clients_of(rig)
    rig.reload(upstream_of(first), "proxy_pass u;")
    rig.reload(upstream_of(first), "proxy_pass u; proxy_session_drop on;")
    wait_until(lambda: second.active == 0, "sessions of a node removed before end")
    assert sum(map(alive, clients)) == CLIENTS // 2
    for client in clients:
        client.close()


@pytest.mark.parametrize("word", ["on", "off"])
def test_a_session_that_chooses_a_removed_node_after_the_reload(lab, word):
    async def broker(session):
        await session.recv()
        await session.send(CONNACK_OK)
        await echo(session)

    first, second = lab.node(broker), lab.node(broker)
    more = f"proxy_pass u; mqtt_preread on; proxy_session_drop {word};"
    rig = Rig(lab, upstream_of(second), more)
    with sockets.open_raw(rig.port) as client:
        packet = connect("slow")
        client.sendall(packet[:5])
        wait_until(lambda: rig.sessions() == 1, "it is accepted")
        rig.reload(upstream_of(first), more)
        client.sendall(packet[5:])
        assert sockets.receive(client, 4) == CONNACK_OK
        assert second.accepted == 1
        if word == "on":
            assert sockets.receive_all(client) == b""
        else:
            assert alive(client)
        with sockets.open_raw(rig.port) as later:
            later.sendall(packet)
            assert sockets.receive(later, 4) == CONNACK_OK
    assert first.accepted == 1


def test_a_thousand_sessions_end_and_the_others_do_not_wait(lab, many_descriptors):
    assert many_descriptors > 4000
    first, second = lab.node(keep=False), lab.node(keep=False)
    more = "proxy_pass u; proxy_session_drop on;"
    rig = Rig(lab, upstream_of(first, second), more, connections=8192)
    traffic = Traffic(("127.0.0.1", rig.port), 2000, pause=0.5)
    try:
        wait_until(lambda: all(traffic.turns), "every session has spoken", timeout=60)
        rig.reload(upstream_of(first), more)
        wait_until(lambda: second.active == 0, "the sessions of the node end")
        wait_until(lambda: len(traffic.broken) >= second.accepted, "their clients notice")
        before = list(traffic.turns)
        broken = {index for index, _why in traffic.broken}
        assert len(broken) == second.accepted
        wait_until(
            lambda: all(
                now > then or index in broken
                for index, (now, then) in enumerate(zip(traffic.turns, before, strict=True))
            ),
            "the others go on",
        )
    finally:
        traffic.close()
    assert len(traffic.broken) == second.accepted == 1000
