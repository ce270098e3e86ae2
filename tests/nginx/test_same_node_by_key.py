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
from tidegate.config import model
from tidegate.config.span import Span
from tidegate.scoreboard.board import Board
from tidegate.variables.template import Template
from tidegate.wire.address import Address

pytestmark = pytest.mark.needs("nginx")

NOWHERE = Span("test.conf", 1, 1)
EMPTY = Template(())
METHODS = {
    "hash": model.Hash(key=EMPTY, consistent=False),
    "consistent": model.Hash(key=EMPTY, consistent=True),
    "ip_hash": model.IpHash(),
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
    "twice the same": (["", "weight=2", "same"], []),
}
TWO_NAMES = {"one.test": ["127.0.3.1", "127.0.3.2"], "two.test": ["127.0.3.3"]}


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
    """The same servers here; a server is its text, its words and its addresses."""

    def __init__(self, servers, *, method, dead):
        self.dead = dead
        self.peers = tuple(
            model.Peer(
                address=Address(family=socket.AF_INET, host=host, port=port),
                name=name,
                weight=int(words.partition("weight=")[2] or 1),
                max_conns=0,
                max_fails=1,
                fail_timeout=60,
                down=words == "down",
                backup=False,
            )
            for name, words, addresses in servers
            for host, port in addresses
        )
        self.upstream = self._placed(METHODS[method])

    def ask(self, key) -> list[str]:
        """The addresses that are tried for a key, the last one answers."""
        attempt = Attempt(key)
        tried = []
        while (index := self.upstream.pick(attempt)) >= 0:
            tried.append(self.peers[index].address.text)
            dead = tried[-1] in self.dead
            self.upstream.release(index, failed=dead)
            if not dead:
                return tried
        raise AssertionError(tried)

    def _placed(self, method):
        upstream = model.Upstream(
            name="nodes",
            peers=self.peers,
            method=method,
            zone=None,
            implicit=False,
            span=NOWHERE,
        )
        board = Board.create(workers=1, upstreams=1, peers=len(self.peers))
        board.reset_upstream(0)
        whole = model.Stream(upstreams=(upstream,), servers=())
        placement = allot(with_stream(whole), board, None)
        return place(upstream, placement=placement, board=board, worker=0)


def with_stream(stream):
    """A model of nothing but `stream`."""
    return model.Model(
        files=(),
        user=None,
        group=None,
        worker_processes=1,
        worker_connections=512,
        worker_rlimit_nofile=None,
        worker_priority=0,
        worker_shutdown_timeout_ms=None,
        multi_accept=False,
        daemon=False,
        master_process=True,
        pid="/dev/null",
        error_logs=(),
        env=(),
        stream=stream,
        http=None,
    )


def text_of(server):
    name, words, _addresses = server
    return f"{name} {words} fail_timeout=60s".replace("same ", "")


@pytest.fixture
def oracle(lab):
    """nginx with these servers, and ours with the same ones, by method."""
    made = []

    def oracle(servers, *, dead=(), hosts=None):
        every = {f"{host}:{port}" for _, _, addresses in servers for host, port in addresses}
        nginx = HttpNginx(
            lab, [text_of(server) for server in servers], nodes=every - set(dead), hosts=hosts
        )
        made.append(nginx)
        return nginx, {name: Ours(servers, method=name, dead=dead) for name in METHODS}

    yield oracle
    for nginx in made:
        nginx.close()


def servers_of(case, port):
    """The servers of a case, and the addresses of those that are dead."""
    words, dead = CASES[case]
    servers = [
        (f"127.0.2.{number}:{port}", words, [(f"127.0.2.{number}", port)])
        for number, words in enumerate(words, 1)
    ]
    if case == "twice the same":
        servers[2] = (*servers[0][:1], "same", servers[0][2])
    return servers, [servers[number][0] for number in dead]


@pytest.mark.parametrize("case", CASES)
def test_2000_client_ids_come_to_the_same_nodes(lab, oracle, case):
    servers, dead = servers_of(case, lab.ports.free())
    nginx, ours = oracle(servers, dead=dead)
    for method in ("hash", "consistent"):
        for key in client_ids():
            assert ours[method].ask(key) == nginx.ask(method, key=key), (method, key[:99])


@pytest.mark.parametrize("case", CASES)
def test_2000_clients_come_to_the_same_nodes(lab, oracle, case):
    servers, dead = servers_of(case, lab.ports.free())
    nginx, ours = oracle(servers, dead=dead)
    for client in clients():
        family = socket.AF_INET6 if ":" in client else socket.AF_INET
        expected = nginx.ask("ip_hash", client=client)
        assert ours["ip_hash"].ask(key_of(family, client)) == expected, client


def test_clients_on_unix_sockets_come_to_the_same_node(lab, oracle):
    servers, _ = servers_of("weights", lab.ports.free())
    nginx, ours = oracle(servers)
    assert ours["ip_hash"].ask(key_of(socket.AF_UNIX, "")) == nginx.ask_unix("ip_hash")


def test_without_a_key_the_turns_are_the_same(lab, oracle):
    servers, _ = servers_of("weights", lab.ports.free())
    nginx, ours = oracle(servers)
    for method in ("hash", "consistent"):
        turns = [ours[method].ask(b"") for _ in range(30)]
        assert turns == [nginx.ask(method) for _ in range(30)]
        assert len({tuple(turn) for turn in turns}) == 4


@pytest.mark.needs("root")
@pytest.mark.parametrize("dead", [[], ["127.0.3.1"]], ids=["all alive", "an address dead"])
def test_names_with_two_addresses_lead_to_the_same_ones(lab, oracle, dead):
    port = lab.ports.free()
    servers = [
        (f"{name}:{port}", "weight=2" if name == "two.test" else "", [(ip, port) for ip in ips])
        for name, ips in TWO_NAMES.items()
    ]
    servers.append((f"127.0.3.4:{port}", "", [("127.0.3.4", port)]))
    nginx, ours = oracle(servers, dead=[f"{ip}:{port}" for ip in dead], hosts=TWO_NAMES)
    for method in ("hash", "consistent"):
        chosen = []
        for key in client_ids():
            chosen.append(nginx.ask(method, key=key))
            assert ours[method].ask(key) == chosen[-1], (method, key[:99])
        assert len({tried[-1] for tried in chosen}) == 4 - len(dead)
