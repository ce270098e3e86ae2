"""`limit_conn` over all workers: never one session more than the limit, and all are given back."""

import collections
import contextlib
import os
import selectors
import signal
import socket

import pytest

from lab import clients, proc, sockets, tls
from lab.nodes import greet
from lab.waiting import wait_until

SESSIONS = 5000
AT_ONCE = 200
MOST = 40
KEYS = 4  # source addresses
ZONE = "limit_conn_zone $binary_remote_addr zone=addr:1m;"


def in_front(lab, node, *, limit, workers, more="", level="error"):
    port = lab.ports.free()
    stream = (
        f"{ZONE} {lab.upstream(node)}\n"
        f"server {{ listen 127.0.0.1:{port}; proxy_pass nodes; limit_conn addr {limit}; {more} }}"
    )
    return lab.balancer(stream, workers=workers, connections=4096, level=level), port


class Crowd:
    """Clients that come without a pause, stay a moment when they are let in, and go."""

    def __init__(self, port):
        self.port = port
        self.come = collections.Counter()
        self.held = collections.defaultdict(collections.deque)
        self.selector = selectors.DefaultSelector()
        self.waiting = 0
        self.let_in = self.refused = self.most = 0

    def connect(self):
        number = sum(self.come.values()) % KEYS
        source = f"127.0.1.{number + 1}"
        self.come[source] += 1
        client = socket.socket()
        client.bind((source, 0))
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(("127.0.0.1", self.port))
        self.selector.register(client, selectors.EVENT_READ, source)
        self.waiting += 1

    def hear(self):
        """Take what was said: a node's greeting, or the end of one that was refused."""
        for key, _ in self.selector.select(0.2):
            client, source = key.fileobj, key.data
            self.selector.unregister(client)
            self.waiting -= 1
            if client.recv(1):
                self.let_in += 1
                self.held[source].append(client)
                self.most = max(self.most, len(self.held[source]))
            else:
                self.refused += 1
                client.close()

    def leave(self):
        """The longest stayers go from each address that is nearly full."""
        for held in self.held.values():
            while len(held) > MOST // 2:
                held.popleft().close()

    def close(self):
        for held in self.held.values():
            while held:
                held.pop().close()
        self.selector.close()


@pytest.mark.parametrize("workers", [2, 8])
def test_no_address_ever_has_more_than_its_limit(lab, many_descriptors, workers):
    assert many_descriptors > 4 * AT_ONCE
    node = lab.node(greet(b"h"), keep=False)
    balancer, port = in_front(lab, node, limit=MOST, workers=workers, level="crit")
    crowd = Crowd(port)
    try:
        while sum(crowd.come.values()) < SESSIONS or crowd.waiting:
            while crowd.waiting < AT_ONCE and sum(crowd.come.values()) < SESSIONS:
                crowd.connect()
            crowd.hear()
            if sum(map(len, crowd.held.values())) >= KEYS * MOST - AT_ONCE // 10:
                crowd.leave()
    finally:
        crowd.close()
    assert crowd.let_in + crowd.refused == SESSIONS
    assert crowd.refused > 0
    # Those that we closed may still be counted, so a client sees no more than the limit, ever.
    assert crowd.most == MOST
    sessions = balancer.wait_sessions(SESSIONS, timeout=60)
    statuses = collections.Counter(one["status"] for one in sessions)
    assert statuses == {"200": crowd.let_in, "503": crowd.refused}
    _all_are_free(port, "127.0.1.1")


def _all_are_free(port, source):
    """As many as the limit are let in again, and not one more."""
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(MOST):
            client = stack.enter_context(sockets.open_raw(port, source=source))
            assert sockets.receive(client, 1) == b"h"
            held.append(client)
        with sockets.open_raw(port, source=source) as one_more:
            assert sockets.receive(one_more, 1) == b""


def test_what_a_killed_worker_held_is_given_back(lab):
    node = lab.node(greet(b"h"), keep=False)
    balancer, port = in_front(lab, node, limit=MOST, workers=4)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(sockets.open_raw(port)) for _ in range(MOST)]
        assert {sockets.receive(client, 1) for client in held} == {b"h"}
        owner = proc.served_by(balancer.workers(), port)
        victim, lost = collections.Counter(owner.values()).most_common(1)[0]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in balancer.workers(), "the worker is gone")
        wait_until(lambda: len(balancer.workers()) == 4, "it is replaced")
        again = [stack.enter_context(sockets.open_raw(port)) for _ in range(lost + 1)]
        heard = [sockets.receive(client, 1) for client in again]
        assert sorted(heard) == [b"", *[b"h"] * lost]


def test_a_client_id_may_be_connected_once(lab):
    broker = lab.mosquitto()
    port = lab.ports.free()
    balancer = lab.balancer(
        f"mqtt_preread on; limit_conn_zone $mqtt_preread_clientid zone=ids:1m;"
        f"server {{ listen 127.0.0.1:{port}; proxy_pass {broker.address}; limit_conn ids 1; }}",
        workers=2,
    )
    first = clients.Client(port, "dev-1", version=clients.V5)
    with pytest.raises(clients.RefusedError) as refused:
        clients.Client(port, "dev-1", version=clients.V5)
    assert (refused.value.code, refused.value.text) == (0x97, "too many connections")
    other = clients.Client(port, "dev-2", version=clients.V5)
    first.close()
    balancer.wait_sessions(2)
    again = clients.Client(port, "dev-1", version=clients.V5)
    for client in (other, again):
        client.close()
    assert 'limiting connections by zone "ids" while prereading client data' in balancer.errors()


@pytest.mark.needs("openssl")
def test_a_certificate_may_be_connected_once(lab, authority, server_pair):
    certificate, key = server_pair
    port = lab.ports.free()
    lab.balancer(
        "limit_conn_zone $ssl_client_s_dn zone=devices:1m;"
        f"server {{ listen 127.0.0.1:{port} ssl; proxy_pass {lab.node().address};"
        f" ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_verify_client on;"
        f" ssl_client_certificate {authority.certificate}; limit_conn devices 1; }}",
        workers=2,
    )
    one, other = (
        tls.client_context(authority, pair=authority.sign(name, subject=f"/CN={name}"))
        for name in ("dev-1", "dev-2")
    )
    with tls.connect(port, one) as first:
        assert tls.echoes(first)
        assert not tls.greets(port, one)
        assert tls.greets(port, other)
    wait_until(lambda: tls.greets(port, one), "the first is given back")


def test_servers_share_a_zone(lab):
    node = lab.node(greet(b"h"))
    first, second = lab.ports.free(), lab.ports.free()
    servers = " ".join(
        f"server {{ listen 127.0.0.1:{port}; proxy_pass nodes; limit_conn addr {limit}; }}"
        for port, limit in ((first, 3), (second, 1))
    )
    lab.balancer(f"{ZONE} {lab.upstream(node)} {servers}", workers=2)
    with sockets.open_raw(first) as one, sockets.open_raw(second) as two:
        assert sockets.receive(one, 1) == b"h"
        assert sockets.receive(two, 1) == b""
        with sockets.open_raw(first) as three:
            assert sockets.receive(three, 1) == b"h"


@pytest.mark.parametrize(
    ("key", "room"), [("$binary_remote_addr", 1), ("$remote_addr", 3)], ids=["same", "other"]
)
def test_a_reload_goes_on_counting_where_the_zone_stays(lab, key, room):
    node = lab.node(greet(b"h"))
    balancer, port = in_front(lab, node, limit=2, workers=2)
    with contextlib.ExitStack() as stack:

        def come():
            return sockets.receive(stack.enter_context(sockets.open_raw(port)), 1)

        assert [come() for _ in range(3)] == [b"h", b"h", b""]
        with open(balancer.conf, encoding="utf-8") as file:
            text = file.read()
        assert "limit_conn addr 2;" in text
        text = text.replace("limit_conn addr 2;", "limit_conn addr 3;")
        with open(balancer.conf, "w", encoding="utf-8") as file:
            file.write(text.replace("$binary_remote_addr", key))
        assert balancer.send("reload").returncode == 0
        assert [come() for _ in range(room + 1)] == [*[b"h"] * room, b""]
