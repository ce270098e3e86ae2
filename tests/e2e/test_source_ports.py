"""`proxy_bind` where ports run out: a network whose kernel gives each address a hundred of them."""

import contextlib
import os
import pwd
import re
import signal
import socket

import pytest

from lab import balancer as balancers
from lab import packets, sockets
from lab.foreign import sockets_of
from lab.nodes import collect
from lab.process import read
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("iproute2")

PORTS = "20000 20099"
POOL = ["10.211.55.5", "10.211.55.20", "10.211.55.21", "10.211.55.22", "10.211.55.23"]
OTHER = "203.0.113.1"  # nobody's
IP_BIND_ADDRESS_NO_PORT = 24  # Python 3.11 does not name it
RAW = 1 << 13  # CAP_NET_RAW
REFUSED = re.compile(r"connect\(\) to (\S+) failed \(99: [^)]*\), no free port from (.*?) while")


async def name_peer(session):
    """Say whom the node sees, and stay."""
    await session.send(session.sock.getpeername()[0].encode().ljust(15))
    await collect(session)


async def packets_accepted(session):
    """A node that accepts every CONNECT."""
    await session.recv()
    await session.send(packets.CONNACK_OK)
    await collect(session)


async def close_at_connect(session):
    """A node that closes before its CONNACK."""
    await session.recv()


class World:
    """A balancer in a network of its own, nodes in another, clients on a Unix socket."""

    def __init__(self, lab, nodes):
        self.lab = lab
        self.networks = lab.networks(nodes)
        self.networks.own(POOL, ports=PORTS)
        self.path = os.path.join(lab.folder, "front.sock")

    def node(self, name, serve=name_peer):
        return self.lab.foreign_node(
            self.networks.cluster, self.networks.addresses[name], 1883, serve
        )

    def take_ports(self, held, name, address):
        """Be another program that has all of an address' ports to a node."""
        for sock in sockets_of(self.networks.front, 100):
            held.enter_context(contextlib.closing(sock))
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((address, 0))
            sock.connect((self.networks.addresses[name], 1883))

    def run(self, stream, *, workers=1, user="root"):
        conf = balancers.whole(stream, workers=workers, level="notice")
        conf = conf.replace("user root;", f"user {user};")
        balancer = self.lab.idle_balancer(conf, prefix=self.networks.front)
        return balancer.start().wait_ready([], workers, [self.path])

    def in_front(self, names, bind, more="", **options):
        servers = " ".join(f"server {name};" for name in names)
        return self.run(
            f"upstream nodes {{ {servers} }}"
            f"server {{ listen unix:{self.path}; proxy_pass nodes; proxy_bind {bind}; {more} }}",
            **options,
        )


@pytest.fixture
def world(lab, many_descriptors):
    assert many_descriptors > 2000
    return lambda *nodes: World(lab, nodes)


def come(world, stack):
    """A client that stays: the address that its node sees, "" where it is refused."""
    client = stack.enter_context(contextlib.closing(sockets.open_raw(world.path)))
    return sockets.receive(client, 15).decode().strip()


def refusals(balancer):
    """Node and addresses of each line that tells of no free port."""
    return [(node, found.split(", ")) for node, found in REFUSED.findall(balancer.errors())]


def test_five_addresses_of_100_ports_carry_500_sessions_to_one_node(world):
    here = world("one")
    node = here.node("one")
    balancer = here.in_front(["one:1883"], " ".join(POOL))
    with contextlib.ExitStack() as held:
        seen = [come(here, held) for _ in range(500)]
        assert seen[:10] == POOL * 2
        assert {address: seen.count(address) for address in POOL} == dict.fromkeys(POOL, 100)
        assert "free port" not in balancer.errors()

        assert come(here, held) == ""
        [last] = balancer.wait_sessions(1)
        assert (last["status"], last["upstream_addr"]) == ("502", node.address)
        assert refusals(balancer) == [(node.address, POOL)]
        assert [line for line in balancer.errors().splitlines() if "port" in line][1:] == []
        assert "temporarily disabled" not in balancer.errors()

        # The node resets, so that the kernel has the ports back at once.
        node.drop_sessions()
        balancer.wait_sessions(501)
        again = set()
        wait_until(lambda: again.add(come(here, held)) or again >= {*POOL}, "all are used again")
    assert "no live upstreams" not in balancer.errors()


def test_workers_use_all_ports_there_are(world):
    here = world("one")
    here.node("one")
    balancer = here.in_front(["one:1883"], " ".join(POOL), workers=2)
    with contextlib.ExitStack() as held:
        seen = [come(here, held) for _ in range(500)]
        assert {address: seen.count(address) for address in POOL} == dict.fromkeys(POOL, 100)
        assert come(here, held) == ""
    assert refusals(balancer) == [("10.83.0.10:1883", POOL)]


def test_without_proxy_bind_the_node_is_not_blamed_either(world):
    here = world("one", "two")
    nodes = [here.node(name) for name in ("one", "two")]
    balancer = here.in_front(["one:1883", "two:1883"], "off")
    with contextlib.ExitStack() as held:
        assert [come(here, held) for _ in range(200)] == ["10.83.0.1"] * 200
        assert come(here, held) == ""
        [last] = balancer.wait_sessions(1)
        assert last["upstream_addr"] == ", ".join(node.address for node in nodes)
        for node in nodes:
            assert f"connect() to {node.address} failed (99: " in balancer.errors()
        assert balancer.errors().count("no free port") == 2
        nodes[0].drop_sessions()
        wait_until(lambda: come(here, held), "ports are used again")
    assert "temporarily disabled" not in balancer.errors()


def test_an_address_without_ports_is_skipped_and_named_once(world):
    here = world("one")
    node = here.node("one")
    balancer = here.in_front(["one:1883"], f"{POOL[0]} {POOL[1]}")
    with contextlib.ExitStack() as held:
        here.take_ports(held, "one", POOL[0])
        assert [come(here, held) for _ in range(100)] == [POOL[1]] * 100
        assert come(here, held) == ""
    errors = balancer.errors()
    assert errors.count(f"no free port from {POOL[0]}, other addresses take over") == 1
    assert refusals(balancer) == [(node.address, POOL[:2])]


def test_another_node_has_ports_of_its_own(world):
    here = world("one", "two")
    nodes = [here.node(name) for name in ("one", "two")]
    balancer = here.in_front(["one:1883", "two:1883 weight=50"], POOL[0])
    with contextlib.ExitStack() as held:
        assert [come(here, held) for _ in range(200)] == [POOL[0]] * 200
        assert [node.active for node in nodes] == [100, 100]
        assert come(here, held) == ""
    [last] = balancer.wait_sessions(1)[:1]
    assert sorted(last["upstream_addr"].split(", ")) == [node.address for node in nodes]
    assert "temporarily disabled" not in balancer.errors()


def test_an_address_that_is_not_ours_is_skipped_and_named_once(world):
    here = world("one")
    here.node("one")
    balancer = here.in_front(["one:1883"], f"{OTHER} {POOL[0]}")
    with contextlib.ExitStack() as held:
        assert [come(here, held) for _ in range(20)] == [POOL[0]] * 20
    named = f"bind({OTHER}) failed (99: Cannot assign requested address)"
    assert balancer.errors().count(named) == 1


def test_a_list_without_an_address_of_ours_ends_sessions_as_one_address_does(world):
    here = world("one")
    node = here.node("one")
    balancer = here.in_front(["one:1883"], f"{OTHER} 203.0.113.2")
    with contextlib.ExitStack() as held:
        assert come(here, held) == ""
    [session] = balancer.wait_sessions(1)
    assert session["status"] == "500"
    assert f"bind({OTHER}, 203.0.113.2) failed (99: " in balancer.errors()
    assert node.accepted == 0


def test_an_mqtt_client_is_told_that_no_port_is_left(world):
    here = world("one")
    here.node("one", packets_accepted)
    balancer = here.in_front(["one:1883"], POOL[0], "mqtt_preread on;")
    with contextlib.ExitStack() as held:
        here.take_ports(held, "one", POOL[0])
        client = held.enter_context(contextlib.closing(sockets.open_raw(here.path)))
        client.sendall(packets.connect("device"))
        assert sockets.receive_all(client) == packets.connack(3)
    [(_, named)] = refusals(balancer)
    assert named == [POOL[0]]
    assert 'clientid: "device"' in balancer.errors()


@pytest.mark.parametrize("bind", [[POOL[0]], POOL[:2]], ids=["one address", "two"])
def test_a_refused_mqtt_client_goes_on_where_a_port_is_left(world, bind):
    here = world("one", "two")
    for name in ("one", "two"):
        here.node(name, close_at_connect if name == "one" else packets_accepted)
    balancer = here.in_front(
        ["one:1883", "two:1883"],
        " ".join(bind),
        "mqtt_preread on; mqtt_next_upstream error;",
    )
    with contextlib.ExitStack() as held:
        here.take_ports(held, "two", POOL[0])
        client = held.enter_context(contextlib.closing(sockets.open_raw(here.path)))
        client.sendall(packets.connect("device"))
        expected = packets.connack(0 if bind[1:] else 3)
        assert sockets.receive(client, 4) == expected
    errors = balancer.errors()
    assert errors.count("no free port") == 1
    blamed = [line for line in errors.splitlines() if "temporarily disabled" in line]
    assert all('"10.83.0.10:1883"' in line for line in blamed)


@pytest.mark.needs("root")
def test_transparent_shows_the_node_an_address_that_is_not_ours(world):
    here = world("one")
    here.node("one")
    foreign = "10.99.0.7"
    here.networks.take_packets_for(foreign)
    balancer = here.in_front(["one:1883"], f"{foreign} transparent", user="daemon")
    with contextlib.ExitStack() as held:
        assert come(here, held) == foreign
    [worker] = balancer.workers()
    status = dict(line.split(":\t") for line in read(f"/proc/{worker}/status").splitlines())
    assert status["Uid"].split() == [str(pwd.getpwnam("daemon").pw_uid)] * 4
    assert [int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff")] == [0, RAW, RAW]


@pytest.mark.needs("root")
def test_a_reload_may_bring_transparent(world):
    here = world("one")
    here.node("one")
    foreign = "10.99.0.7"
    here.networks.take_packets_for(foreign)
    balancer = here.in_front(["one:1883"], POOL[0], user="daemon")
    conf = read(balancer.conf).replace(POOL[0], f"{foreign} transparent")
    with contextlib.ExitStack() as held:
        assert come(here, held) == POOL[0]
        with open(balancer.conf, "w", encoding="utf-8") as file:
            file.write(conf)
        balancer.send_signal(signal.SIGHUP)
        wait_until(lambda: come(here, held) == foreign, "the new address is used")


@pytest.mark.needs("root")
def test_transparent_works_with_ipv6(world):
    here = world("one")
    lab, front = here.lab, here.networks.front
    here.networks.answer_for("fd99::7")
    node = lab.foreign_node(front, "::1", 18830, name_peer)
    balancer = here.run(
        f"server {{ listen unix:{here.path};"
        f" proxy_pass [::1]:{node.port}; proxy_bind fd99::7 transparent; }}"
    )
    with contextlib.ExitStack() as held:
        assert come(here, held) == "fd99::7"
    assert "failed" not in balancer.errors()


@pytest.mark.needs("root")
def test_transparent_without_the_right_does_not_start(world):
    here = world("one")
    drop = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]
    conf = balancers.whole(
        f"server {{ listen unix:{here.path};"
        f" proxy_pass one:1883; proxy_bind {OTHER} transparent; }}"
    )
    balancer = here.lab.idle_balancer(conf, prefix=[*here.networks.front, *drop])
    assert balancer.start().wait() == 1
    said = "capset() failed (1: Operation not permitted)"
    assert f'{said}; "proxy_bind ... transparent" needs CAP_NET_RAW' in balancer.output()
