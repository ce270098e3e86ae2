"""The same key, or the same client, comes to the node that the installed nginx chooses for it.

nginx answers with its http part: there the keys may be any bytes, and `ip_hash` is known.
"""

import random
import socket

import pytest

from lab.http_nginx import HttpNginx
from tidegate.balance.ip_hash import key_of
from tidegate.balance.placement import allot
from tidegate.balance.upstream import Attempt, place
from tidegate.config.load import load
from tidegate.scoreboard.board import Board
from tidegate.wire.address import Address

pytestmark = pytest.mark.needs("nginx")

# The key is the test's to give; what the configuration says it is does not matter.
METHODS = {
    "hash": "hash $remote_addr;",
    "consistent": "hash $remote_addr consistent;",
    "ip_hash": "ip_hash;",
}
# Per case: the words behind each server, and which of the nodes do not listen.
CASES = {
    "three equal": (["", "", ""], []),
    "weights": (["weight=5", "", "weight=3", "weight=2"], []),
    "down": (["", "down", "weight=2", "down", ""], []),
    "twenty": ([""] * 20, []),
    "one dead": (["weight=2", "", "", ""], [1]),
    "most dead": ([""] * 8, [0, 2, 3, 4, 5, 7]),
    "one alone": ([""], []),
    "twice the same": (["", "weight=2"], []),
}
HOSTS = {"one.test": ["127.0.3.1", "127.0.3.2"], "two.test": ["127.0.3.3"]}


def client_ids():
    """A few thousand, as devices have them, and some as no device should."""
    chance = random.Random(7)
    ids = [b"mqttx_%08x" % chance.getrandbits(32) for _ in range(1500)]
    ids += [b"device-%04d" % number for number in range(400)]
    ids += ["".join(chance.choices("äß€漢字🌊é-07", k=12)).encode() for _ in range(200)]
    ids += [bytes(chance.choices(range(33, 127), k=length)) for length in range(1, 100)]
    ids += [bytes(chance.choices(b"abc/$#&?=%", k=65_535)) for _ in range(5)]
    return [*ids, b"x" * 65_535, "漢".encode() * 21_845]


def clients():
    """Addresses of both families."""
    chance = random.Random(7)
    v4 = [socket.inet_ntop(socket.AF_INET, chance.randbytes(4)) for _ in range(1500)]
    v6 = [socket.inet_ntop(socket.AF_INET6, b"\x20\x01" + chance.randbytes(14)) for _ in range(600)]
    return [*v4, *v6, "10.0.0.1", "10.0.0.2", "10.0.1.1", "::1", "fe80::1"]


class Ours:
    """The same servers here."""

    def __init__(self, folder, servers, *, method, dead, hosts):
        self.dead = dead
        lines = "".join(f"server {server};\n" for server in servers)
        text = f"events {{}} stream {{ upstream nodes {{ {METHODS[method]}\n{lines} }} }}"
        (folder / "tidegate.conf").write_text(text)
        loaded = load(
            "tidegate.conf",
            prefix=str(folder),
            resolve=lambda host, port: [
                Address(family=socket.AF_INET, host=one, port=port) for one in hosts[host]
            ],
        )
        assert loaded.model is not None, loaded.problems
        (upstream,) = loaded.model.stream.upstreams
        board = Board.create(workers=1, upstreams=1, peers=len(upstream.peers))
        placement = allot(loaded.model, board, None)
        self.upstream = place(upstream, placement=placement, board=board, worker=0)

    def ask(self, key) -> list[str]:
        """The addresses that are tried for a key, the last one answers."""
        attempt = Attempt(key)
        tried = []
        while (index := self.upstream.pick(attempt)) >= 0:
            tried.append(self.upstream.peers[index].address.text)
            dead = tried[-1] in self.dead
            self.upstream.release(index, failed=dead)
            if not dead:
                return tried
        raise AssertionError(tried)


@pytest.fixture
def oracle(lab, tmp_path):
    """nginx with these servers on these nodes, and ours with the same ones, by method."""
    made = []

    def oracle(servers, *, nodes, dead=(), hosts=None):
        alive = [node for node in nodes if node not in dead]
        servers = [f"{server} fail_timeout=60s" for server in servers]
        nginx = HttpNginx(lab, servers, nodes=alive, hosts=hosts)
        made.append(nginx)
        return nginx, {
            name: Ours(tmp_path, servers, method=name, dead=dead, hosts=hosts or {})
            for name in METHODS
        }

    yield oracle
    for nginx in made:
        nginx.close()


def of_case(case, port):
    """The servers of a case, its nodes, and those of them that are dead."""
    words, dead = CASES[case]
    nodes = [f"127.0.2.{number}:{port}" for number in range(1, len(words) + 1)]
    servers = [f"{node} {word}" for node, word in zip(nodes, words, strict=True)]
    if case == "twice the same":
        servers.append(f"{nodes[0]} weight=3")
    return {"servers": servers, "nodes": nodes, "dead": [nodes[number] for number in dead]}


@pytest.mark.parametrize("case", CASES)
def test_2000_client_ids_come_to_the_same_nodes(lab, oracle, case):
    nginx, ours = oracle(**of_case(case, lab.ports.free()))
    for method in ("hash", "consistent"):
        for key in client_ids():
            assert ours[method].ask(key) == nginx.ask(method, key=key), (method, key[:99])


@pytest.mark.parametrize("case", CASES)
def test_2000_clients_come_to_the_same_nodes(lab, oracle, case):
    nginx, ours = oracle(**of_case(case, lab.ports.free()))
    for client in clients():
        family = socket.AF_INET6 if ":" in client else socket.AF_INET
        expected = nginx.ask("ip_hash", client=client)
        assert ours["ip_hash"].ask(key_of(family, client)) == expected, client


def test_clients_on_unix_sockets_come_to_the_same_node(lab, oracle):
    nginx, ours = oracle(**of_case("weights", lab.ports.free()))
    assert ours["ip_hash"].ask(key_of(socket.AF_UNIX, "")) == nginx.ask_unix("ip_hash")


def test_without_a_key_the_turns_are_the_same(lab, oracle):
    nginx, ours = oracle(**of_case("weights", lab.ports.free()))
    for method in ("hash", "consistent"):
        turns = [ours[method].ask(b"") for _ in range(30)]
        assert turns == [nginx.ask(method) for _ in range(30)]
        assert len({tuple(turn) for turn in turns}) == 4


@pytest.mark.needs("root")
@pytest.mark.parametrize("dead", [[], ["127.0.3.1"]], ids=["all alive", "an address dead"])
def test_names_with_two_addresses_lead_to_the_same_ones(lab, oracle, dead):
    port = lab.ports.free()
    nodes = [f"127.0.3.{number}:{port}" for number in range(1, 5)]
    servers = [f"one.test:{port}", f"two.test:{port} weight=2", nodes[3]]
    nginx, ours = oracle(servers, nodes=nodes, dead=[f"{ip}:{port}" for ip in dead], hosts=HOSTS)
    for method in ("hash", "consistent"):
        chosen = []
        for key in client_ids():
            chosen.append(nginx.ask(method, key=key))
            assert ours[method].ask(key) == chosen[-1], (method, key[:99])
        assert len({tried[-1] for tried in chosen}) == 4 - len(dead)
