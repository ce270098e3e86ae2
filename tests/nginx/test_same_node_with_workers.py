"""1, 2 or 8 workers send the same clients to the same nodes as the installed nginx with one.

Both are real programs with the same lines. Clients come one after the other from addresses of the
loopback network; which node answered is what they hear.
"""

import contextlib
import os
import random

import pytest

from lab import balancer as balancers
from lab import sockets
from lab.http_nginx import HttpNginx
from lab.netns import WITH_HOSTS
from lab.nodes import greet
from lab.process import read

pytestmark = pytest.mark.needs("nginx")

each_number = pytest.mark.parametrize("workers", [1, 2, 8])

NAMES = b"abcdefgh"
METHODS = {
    "round robin": "",
    "hash": "hash $remote_addr;",
    "consistent": "hash $remote_addr consistent;",
    "least_conn": "least_conn;",
}
# The words behind each server; DEAD does not listen.
DEAD = "weight=2 max_fails=1"
CASES = {
    "equal": ["", "", ""],
    "weights": ["weight=5", "", "weight=3"],
    "down": ["weight=2", "down", "", "weight=3"],
    "dead": ["", DEAD, "", ""],
}
HOSTS = {"one.test": ["127.0.4.1", "127.0.4.2"], "two.test": ["127.0.4.3"]}
IP_HASH_WEIGHTS = [1, 3, 2]


def clients(count):
    """Addresses that clients come from."""
    chance = random.Random(11)
    return [f"127.{chance.randrange(1, 255)}.{n % 256}.{n % 253 + 1}" for n in range(count)]


class Ways:
    """Upstreams by name, each behind a port of its own, that programs are asked about."""

    def __init__(self, lab, upstreams, *, hosts=None):
        self.lab = lab
        self.upstreams = upstreams
        self.prefix = []
        if hosts is not None:
            path = os.path.join(lab.folder, "hosts")
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(f"{ip} {name}\n" for name, ips in hosts.items() for ip in ips)
            self.prefix = [*WITH_HOSTS, path]

    def ask(self, program, sources, *, workers):
        """The letters of the nodes that each upstream gives to clients that come and stay."""
        ports = {name: self.lab.ports.free() for name in self.upstreams}
        text = "log_format pid '$pid'; access_log pids.log pid;\n"
        for number, (name, upstream) in enumerate(self.upstreams.items()):
            text += f"upstream nodes{number} {{ zone nodes{number} 64k; {upstream} }}\n"
            text += f"server {{ listen 127.0.0.1:{ports[name]}; proxy_pass nodes{number}; }}\n"
        conf = balancers.whole(text, program=program, workers=workers, connections=8192)
        balancer = self.lab.idle_balancer(conf, program=program, prefix=self.prefix)
        balancer.start().wait_ready(ports.values(), workers)
        found = {name: _letters(port, sources) for name, port in ports.items()}
        balancer.wait_sessions(len(ports) * len(sources))
        pids = set(read(os.path.join(balancer.folder, "pids.log")).split())
        # A single one would prove nothing of workers.
        assert len(pids) > 1 or workers == 1
        balancer.clean_up()
        return found


def _letters(port, sources):
    letters = b""
    with contextlib.ExitStack() as held:
        for source in sources:
            client = held.enter_context(contextlib.closing(sockets.open_raw(port, source=source)))
            letters += sockets.receive(client, 1)
    return letters.decode()


def lines(lab, words):
    """Nodes as `server` lines."""
    text = ""
    for number, word in enumerate(words):
        node = lab.node(greet(NAMES[number : number + 1]))
        address = f"127.0.0.1:{lab.ports.free()}" if word is DEAD else node.address
        text += f"server {address} {word} fail_timeout=60s; "
    return text


@each_number
def test_clients_come_to_the_same_nodes(lab, many_descriptors, workers):
    assert many_descriptors > 4096
    servers = {case: lines(lab, words) for case, words in CASES.items()}
    ways = Ways(
        lab,
        {
            f"{method}, {case}": f"{text} {servers[case]}"
            for method, text in METHODS.items()
            for case in CASES
        },
    )
    sources = clients(100)
    expected = ways.ask("nginx", sources, workers=1)
    living = {case: set("abcd"[: len(CASES[case])]) for case in CASES}
    living["down"].discard("b")
    living["dead"].discard("b")
    assert all(set(expected[name]) == living[name.partition(", ")[2]] for name in expected)
    assert ways.ask("tidegate", sources, workers=workers) == expected


@pytest.mark.needs("root")
@each_number
def test_several_addresses_of_a_name_are_the_same_ones(lab, workers):
    port = 0
    for number, host in enumerate([*HOSTS["one.test"], *HOSTS["two.test"]]):
        port = lab.node(greet(NAMES[number : number + 1]), host=host, port=port).port
    text = f"server one.test:{port}; server two.test:{port} weight=2;"
    methods = {method: f"{words} {text}" for method, words in METHODS.items()}
    ways = Ways(lab, methods, hosts=HOSTS)
    sources = clients(100)
    expected = ways.ask("nginx", sources, workers=1)
    assert all(set(letters) == set("abc") for letters in expected.values())
    assert ways.ask("tidegate", sources, workers=workers) == expected


@each_number
def test_ip_hash_in_stream_is_that_of_nginx_in_http(lab, workers):
    port = lab.ports.free()
    oracles = [f"127.0.5.{number}:{port}" for number in (1, 2, 3)]
    weighted = zip(oracles, IP_HASH_WEIGHTS, strict=True)
    nginx = HttpNginx(lab, [f"{one} weight={n}" for one, n in weighted], nodes=oracles)
    letters = dict(zip(oracles, "abc", strict=True))
    sources = clients(300)
    answers = [nginx.ask("ip_hash", client=source) for source in sources]
    nginx.close()
    expected = "".join(letters[answer] for [answer] in answers)
    assert set(expected) == set("abc")
    servers = lines(lab, [f"weight={number}" for number in IP_HASH_WEIGHTS])
    ways = Ways(lab, {"ip_hash": f"ip_hash; {servers}"})
    assert ways.ask("tidegate", sources, workers=workers) == {"ip_hash": expected}
