"""Page 12: five addresses of a hundred ports each carry five hundred sessions to one node."""

import contextlib
import struct

import pytest

from lab import sockets
from lab.foreign import sockets_of
from lab.nodes import collect
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("iproute2")

POOL = ["10.211.55.5", "10.211.55.20", "10.211.55.21", "10.211.55.22", "10.211.55.23"]
ENDS = [20 * 0xFFFFFFFF // 100 * number for number in range(1, 5)]  # the fifth has the rest
FACTOR = 0x5BD1E995
MASK = 0xFFFFFFFF


def murmur2(key):
    """The hash of split_clients, as its author describes it."""
    number = len(key)
    while len(key) >= 4:
        word = struct.unpack("<I", key[:4])[0] * FACTOR & MASK
        word = (word ^ word >> 24) * FACTOR & MASK
        number = number * FACTOR & MASK ^ word
        key = key[4:]
    if key:
        number = (number ^ int.from_bytes(key, "little")) * FACTOR & MASK
    number = (number ^ number >> 13) * FACTOR & MASK
    return number ^ number >> 15


def share(host, port):
    """Which address of ours a client gets."""
    number = murmur2(f"{host}{port}".encode())
    return POOL[sum(number >= end for end in ENDS)]


def clients_of(count):
    """Addresses and ports of clients, `count` for each of our addresses."""
    found = {address: [] for address in POOL}
    for port in range(30_000, 60_000):
        place = found[share("127.0.0.1", port)]
        if len(place) < count:
            place.append(port)
    assert [len(ports) for ports in found.values()] == [count] * len(POOL)
    return found


async def name_peer(session):
    await session.send(session.sock.getpeername()[0].encode().ljust(15))
    await collect(session)


def come(stack, network, ports):
    """Clients from these ports that stay: what the node saw each of them as, "" for a refusal."""
    seen = []
    for port, sock in zip(ports, sockets_of(network, len(ports)), strict=True):
        client = stack.enter_context(contextlib.closing(sock))
        client.settimeout(sockets.TIMEOUT)
        client.bind(("127.0.0.1", port))
        client.connect(("127.0.0.1", 1883))
        seen.append(sockets.receive(client, 15).decode().strip())
    return seen


def test_the_hash_is_that_of_nginx():
    assert murmur2(b"10.0.0.154321") == 3719628462
    assert share("192.168.1.10", 50000) == "10.211.55.21"
    assert share("2001:db8::1", 55555) == "10.211.55.5"


def test_12_five_addresses_carry_500_sessions_to_one_node(page, many_descriptors):
    assert many_descriptors > 2000
    networks = page.networks
    networks.own(POOL, ports="20000 20099")
    # The second node is away, so that the first has them all.
    host = networks.addresses["emqx1-cluster.emqx.io"]
    node = page.lab.foreign_node(networks.cluster, host, 1883, name_peer)
    balancer = page.run("12")
    expected = clients_of(130)
    with contextlib.ExitStack() as held:
        for address, ports in expected.items():
            assert come(held, networks.front, ports[:100]) == [address] * 100
        assert node.active == 500
        assert "free port" not in balancer.errors()

        for address, ports in expected.items():
            assert come(held, networks.front, ports[100:101]) == [""]
            said = f"no free port from {address} while connecting to upstream, client: 127.0.0.1"
            assert balancer.errors().count(said) == 1
        told = [line for line in balancer.errors().splitlines() if "temporarily disabled" in line]
        assert not [line for line in told if host in line]

        # The node resets, so that the kernel has the ports back at once.
        node.drop_sessions()
        ports = iter(port for ports in expected.values() for port in ports[101:])
        wait_until(lambda: come(held, networks.front, [next(ports)]) != [""], "a port is free")
