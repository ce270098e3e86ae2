"""Pages 07 to 09: which node a client gets is what nginx's rules say, restated here."""

import bisect
import os
import signal
import subprocess
import sys
from zlib import crc32

import pytest

from lab.waiting import wait_until

pytestmark = pytest.mark.needs("mosquitto", "iproute2")

VISIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "visit.py")
# As devices are named: serial numbers, host names, what a library makes up, other scripts.
CLIENT_IDS = [
    make(number)
    for number in range(250)
    for make in ("{:012x}".format, "mqttjs_{:08}".format, "gerät/{}".format, "设备-{}".format)
]


def ring(names):
    """The node of a client ID: 160 points for each name on a circle of 2**32 places."""
    points = {}
    for name in names:
        host, _, port = name.partition(":")
        place = 0
        for _ in range(160):
            place = crc32(f"{host}\0{port}".encode() + place.to_bytes(4, "little"))
            points.setdefault(place, name)
    places = sorted(points)

    def find(key):
        return points[places[bisect.bisect_left(places, crc32(key.encode())) % len(places)]]

    return find


def network_hash(names, network):
    """The node of a network, given as its three numbers."""
    number = 89
    for octet in network:
        number = (number * 113 + octet) % 6271
    return names[number % len(names)]


class Cluster:
    """Brokers under the names that the page's files have, and clients that visit."""

    def __init__(self, page):
        self.page = page
        self.brokers = page.brokers()
        self.names = [f"{host}:1883" for host in page.networks.addresses]

    def came(self):
        """The client IDs that each name has seen so far."""
        pairs = zip(self.names, self.brokers, strict=True)
        return {name: broker.clients() for name, broker in pairs}

    def visit(self, words):
        """Visit, and tell which clients were new at each name."""
        before = {name: len(ids) for name, ids in self.came().items()}
        subprocess.run(
            [*self.page.networks.front, sys.executable, VISIT, *words],
            timeout=60,
            check=True,
        )

        def new():
            found = {name: ids[before[name] :] for name, ids in self.came().items()}
            return found if sum(map(len, found.values())) == len(words) else None

        return wait_until(new, f"{len(words)} clients are in the logs")


@pytest.fixture
def cluster(page):
    return Cluster(page)


def test_09_a_client_id_has_its_node_whatever_restarts(page, cluster):
    find = ring(cluster.names)
    expected = {name: [one for one in CLIENT_IDS if find(one) == name] for name in cluster.names}
    assert all(len(ids) > 100 for ids in expected.values())
    balancer = page.run("09")
    assert cluster.visit(CLIENT_IDS) == expected
    [worker] = balancer.workers()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: balancer.workers() not in ([], [worker]), "the worker is replaced")
    assert cluster.visit(CLIENT_IDS) == expected
    balancer.stop()
    page.run("09")
    assert cluster.visit(CLIENT_IDS) == expected


def test_09_only_the_clients_of_a_lost_node_move(page, cluster):
    find = ring(cluster.names)
    lost = cluster.names[1]
    cluster.brokers[1].stop()
    page.run("09")
    got = cluster.visit(CLIENT_IDS[:300])
    assert got[lost] == []
    for name, ids in got.items():
        at_home = [one for one in ids if find(one) == name]
        assert at_home == [one for one in CLIENT_IDS[:300] if find(one) == name != lost]


def test_07_the_clients_of_a_network_have_one_node(page, cluster):
    page.run("07")
    networks = [(127, *crc32(bytes([number])).to_bytes(4, "big")[:2]) for number in range(24)]
    words = {
        f"{'.'.join(map(str, network))}.{last}={'-'.join(map(str, network))}-{last}": network
        for network in networks
        for last in (1, 254)
    }
    expected = {name: [] for name in cluster.names}
    for word, network in words.items():
        expected[network_hash(cluster.names, network)].append(word.partition("=")[2])
    assert all(expected.values())
    assert cluster.visit(words) == expected


def test_08_new_clients_fill_the_emptiest_node(page, cluster):
    page.run("08")
    names = [f"client-{number}" for number in range(6)]
    clients = {name: page.subscribe(name, cluster.brokers) for name in names}
    first = cluster.came()
    assert [len(ids) for ids in first.values()] == [2, 2, 2]
    for name in first[cluster.names[1]]:
        clients[name].stop()
    second = cluster.brokers[1]
    wait_until(lambda: second.output().count("disconnected") >= 2, "two of its clients are gone")
    for number in (6, 7):
        page.subscribe(f"client-{number}", cluster.brokers)
    assert cluster.came()[cluster.names[1]][2:] == ["client-6", "client-7"]
