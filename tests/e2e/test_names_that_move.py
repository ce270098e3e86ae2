"""`server NAME resolve`: nodes come and go with what a name server says, and no session ends."""

import os
import signal
import time

import dns.rcode
import pytest

from lab import http, proc, sockets
from lab.clients import V5, V311, Client, RefusedError
from lab.dns import TTL
from lab.traffic import Traffic
from lab.waiting import wait_until

NAME = "emqx.test"
UNAVAILABLE = 0x88


class Cluster:
    """Nodes on one port of 127.0.0.x, of which a name server tells."""

    def __init__(self, lab):
        self.lab = lab
        self.dns = lab.name_server()
        self.first = lab.node(host="127.0.0.11", keep=False)
        self.port = self.first.port
        self.listen = lab.ports.free()
        self.nodes = {11: self.first}

    def node(self, last):
        """The node on 127.0.0.`last`."""
        if last not in self.nodes:
            self.nodes[last] = self.lab.node(host=f"127.0.0.{last}", port=self.port, keep=False)
        return self.nodes[last]

    def name(self, *lasts, name=NAME):
        """Let the name mean these nodes."""
        self.dns.set(name, "A", *(self.node(last).address.partition(":")[0] for last in lasts))

    def stream(self, server="", *, more="", extra=""):
        """A stream whose upstream has this server."""
        server = server or f"{NAME}:{self.port} resolve"
        return (
            f"resolver {self.dns.address} ipv6=off; resolver_timeout 2s;"
            f"upstream u {{ {more} server {server}; {extra} }}"
            f"server {{ listen 127.0.0.1:{self.listen}; proxy_pass u; }}"
        )

    def start(self, *args, workers=2, **options):
        """A running balancer in front of it."""
        return self.lab.balancer(self.stream(*args, **options), workers=workers, level="notice")

    def visit(self):
        """One session that echoes; the last number of the node's address, 0 where there is none."""
        before = {last: node.accepted for last, node in self.nodes.items()}
        with sockets.open_raw(self.listen) as client:
            client.sendall(b"hello")
            if client.recv(5) != b"hello":
                return 0
        (found,) = [last for last, node in self.nodes.items() if node.accepted > before[last]]
        return found

    def visited(self, count=6):
        """Where so many sessions come."""
        return [self.visit() for _ in range(count)]

    def quiet(self, seconds=3 * TTL):
        """Whether nothing is asked for so long."""
        asked = len(self.dns.asked)
        time.sleep(seconds)
        return len(self.dns.asked) == asked

    def wait_for(self, *lasts):
        """Wait until sessions come to exactly these nodes."""
        count = 3 * max(1, len(lasts))
        wait_until(lambda: set(self.visited(count)) == set(lasts), f"sessions come to {lasts}")


@pytest.fixture
def cluster(lab):
    return Cluster(lab)


def test_nodes_are_there_from_the_first_session_on(cluster):
    cluster.name(11, 12)
    cluster.start()
    assert sorted(cluster.visited(4)) == [11, 11, 12, 12]


def test_nodes_come_and_go_while_no_session_ends(cluster):
    cluster.name(11, 12)
    balancer = cluster.start()
    traffic = Traffic(("127.0.0.1", cluster.listen), 20)
    try:
        wait_until(lambda: all(traffic.turns), "every session has spoken")
        for nodes in ((11, 12, 13), (13,), (12, 13), (11,)):
            cluster.name(*nodes)
            cluster.wait_for(*nodes)
        before = list(traffic.turns)
        wait_until(
            lambda: all(now > then for now, then in zip(traffic.turns, before, strict=True)),
            "sessions go on, those of nodes that left too",
        )
    finally:
        traffic.close()
    assert traffic.broken == []
    assert f"+ peer 127.0.0.13:{cluster.port} in u\n" in balancer.errors()
    assert "[alert]" not in balancer.errors()
    assert "[error]" not in balancer.errors()


def test_counters_of_nodes_that_stay_are_kept(cluster):
    cluster.name(11)
    balancer = cluster.start()
    assert cluster.visited(3) == [11, 11, 11]
    cluster.name(11, 12)
    cluster.wait_for(11, 12)
    peers = balancer.told("upstreams")["upstreams"][0]["peers"]
    totals = {peer["address"].partition(":")[0]: peer["total"] for peer in peers}
    assert totals == {
        "127.0.0.11": cluster.node(11).accepted,
        "127.0.0.12": cluster.node(12).accepted,
    }


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("SERVFAIL", "(2: Server failure)"),
        ("REFUSED", "(5: Operation refused)"),
        ("silence", "(110: Operation timed out)"),
    ],
)
def test_a_failed_answer_keeps_the_nodes_and_is_told_once(cluster, failure, words):
    cluster.name(11, 12)
    balancer = cluster.start()
    if failure == "silence":
        cluster.dns.silent.add(NAME)
    else:
        cluster.dns.rcodes[NAME] = getattr(dns.rcode, failure)
    told = f"{NAME} could not be resolved {words}, its 2 addresses stay in use\n"
    wait_until(lambda: told in balancer.errors(), "it is told", context=balancer.errors)
    asked = cluster.dns.count(NAME)
    wait_until(lambda: cluster.dns.count(NAME) > asked, "it is asked again")
    cluster.wait_for(11, 12)
    assert balancer.errors().count("could not be resolved") == 1
    cluster.dns.rcodes.clear()
    cluster.dns.silent.clear()
    cluster.name(12)
    cluster.wait_for(12)
    assert balancer.errors().count(f"{NAME} is resolved again\n") == 1


@pytest.mark.parametrize("how", ["no such name", "no address"])
def test_an_answer_without_addresses_is_told_and_leaves_no_node(cluster, how):
    cluster.name(11)
    balancer = cluster.start()
    if how == "no address":
        cluster.dns.set(NAME, "A")
    else:
        cluster.dns.drop(NAME)
    cluster.wait_for(0)
    assert balancer.errors().count(f"{NAME} has no address\n") == 1
    assert "no live upstreams while connecting to upstream" in balancer.errors()
    cluster.name(12)
    cluster.wait_for(12)


def test_a_name_that_is_not_known_at_the_start_does_not_stop_it(cluster):
    balancer = cluster.start(extra=f"server 127.0.0.11:{cluster.port} backup;")
    assert cluster.visited(2) == [11, 11]
    cluster.name(12)
    cluster.wait_for(12)
    assert f"{NAME} has no address\n" in balancer.errors()


def test_a_client_of_mqtt_is_told_that_there_is_no_node(cluster):
    text = cluster.stream().replace("proxy_pass", "mqtt_preread on; proxy_pass")
    cluster.lab.balancer(text)
    for version in (V311, V5):
        with pytest.raises(RefusedError) as refused:
            Client(cluster.listen, "device", version=version)
        assert refused.value.code == UNAVAILABLE


def test_a_silent_name_server_does_not_stop_a_start(cluster):
    cluster.dns.silent.add(NAME)
    cluster.start()
    assert cluster.visit() == 0
    cluster.name(11)
    cluster.dns.silent.clear()
    cluster.wait_for(11)


def test_services_have_ports_weights_and_backups(cluster):
    other = cluster.lab.node(host="127.0.0.21", keep=False)
    cluster.name(11, name="a.test")
    cluster.name(12, name="b.test")
    cluster.dns.set("c.test", "A", "127.0.0.21")
    cluster.dns.set(
        f"_mqtt._tcp.{NAME}",
        "SRV",
        f"10 3 {cluster.port} a.test.",
        f"10 1 {cluster.port} b.test.",
        f"20 1 {other.port} c.test.",
    )
    balancer = cluster.start(f"{NAME} service=mqtt resolve")
    assert sorted(cluster.visited(8)) == [11] * 6 + [12] * 2
    assert other.accepted == 0
    peers = balancer.told("upstreams")["upstreams"][0]["peers"]
    assert [(one["server"], one["weight"], one["backup"]) for one in peers] == [
        ("a.test", 3, False),
        ("b.test", 1, False),
        ("c.test", 1, True),
    ]
    cluster.dns.set(f"_mqtt._tcp.{NAME}", "SRV", f"20 1 {other.port} c.test.")
    cluster.nodes[21] = other
    cluster.wait_for(21)


def test_a_reload_keeps_what_is_known_and_asks_for_what_is_new(cluster):
    cluster.name(11)
    balancer = cluster.start()
    # An answer may hold longer than a name server lives.
    cluster.dns.rcodes[NAME] = dns.rcode.SERVFAIL
    cluster.name(12, name="new.test")
    text = cluster.stream(f"{NAME}:{cluster.port} resolve max_fails=2")
    text = text.replace("ipv6=off", "ipv6=off valid=2s")
    reload(balancer, text.replace("u {", f"u {{ server new.test:{cluster.port} resolve;"))
    assert sorted(cluster.visited(4)) == [11, 11, 12, 12]


def reload(balancer, stream):
    """Put another stream in force."""
    with open(balancer.conf, encoding="utf-8") as file:
        head = file.read().partition("resolver")[0]
    with open(balancer.conf, "w", encoding="utf-8") as file:
        file.write(f"{head}{stream}\n}}\n")
    done = balancer.send("reload")
    assert done.returncode == 0, done.stderr


def test_reloads_and_answers_that_come_at_the_same_time_are_all_heeded(cluster):
    cluster.name(11)
    balancer = cluster.start()
    for turn in range(8):
        cluster.name(*((11, 12) if turn % 2 else (12, 13)))
        weight = turn + 2
        reload(balancer, cluster.stream(f"{NAME}:{cluster.port} resolve weight={weight}"))
        weights = balancer.told("upstreams")["upstreams"][0]["peers"]
        assert {one["weight"] for one in weights} == {weight}
    cluster.wait_for(11, 12)
    assert "[emerg]" not in balancer.errors()


def test_names_may_come_with_a_reload_to_a_process_that_serves_already(cluster):
    cluster.name(11)
    plain = cluster.stream(f"127.0.0.11:{cluster.port}")
    port = cluster.lab.ports.free()
    page = f"}} http {{ server {{ listen 127.0.0.1:{port}; location / {{ stub_status; }} }}"
    balancer = cluster.lab.balancer(plain + page, level="notice")
    (control,) = balancer.told("status")["control"]
    cluster.name(12)
    cluster.node(12)
    reload(balancer, cluster.stream() + page)
    assert cluster.visited(2) == [12, 12]
    reload(balancer, plain + page)
    assert cluster.visited(2) == [11, 11]
    asked = cluster.dns.count(NAME)
    reload(balancer, cluster.stream() + page)
    wait_until(lambda: cluster.dns.count(NAME) > asked, "it is asked for once more")
    (same,) = balancer.told("status")["control"]
    assert same["pid"] == control["pid"]


def test_a_change_of_names_that_a_worker_does_not_take_is_tried_again(cluster):
    cluster.name(11)
    balancer = cluster.start()
    client = sockets.open_raw(cluster.listen)
    client.sendall(b"hello")
    assert client.recv(5) == b"hello"
    (idle, *_others) = [
        pid
        for pid in balancer.workers()
        if pid not in proc.served_by(balancer.workers(), cluster.listen).values()
    ]
    os.kill(idle, signal.SIGSTOP)
    try:
        cluster.name(12)
        wait_until(
            lambda: "the former configuration stays in force" in balancer.errors(),
            "the change is given up",
            timeout=60,
            context=balancer.errors,
        )
    finally:
        os.kill(idle, signal.SIGCONT)
    cluster.wait_for(12)
    client.sendall(b"hello")
    assert client.recv(5) == b"hello"
    client.close()


def test_sessions_of_a_node_that_left_end_where_that_is_wanted(cluster):
    cluster.name(11, 12)
    text = cluster.stream().replace("proxy_pass", "proxy_session_drop on; proxy_pass")
    cluster.node(12)
    cluster.lab.balancer(text, level="info")
    clients = [sockets.open_raw(cluster.listen) for _ in range(2)]
    for client in clients:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
    cluster.name(12)
    cluster.wait_for(12)
    wait_until(lambda: cluster.first.sessions[0].ended, "the session of the node that left ends")
    stayed = [client for client in clients if not ended(client)]
    assert len(stayed) == 1
    for client in clients:
        client.close()


def ended(client) -> bool:
    """Whether a session's end has come."""
    client.sendall(b"hello")
    try:
        return client.recv(5) != b"hello"
    except ConnectionError:
        return True


def test_the_process_that_asks_is_replaced_when_it_is_killed(cluster):
    cluster.name(11)
    balancer = cluster.start()
    (control,) = balancer.told("status")["control"]
    os.kill(control["pid"], signal.SIGKILL)
    cluster.name(12)
    cluster.wait_for(12)
    (other,) = balancer.told("status")["control"]
    assert other["pid"] != control["pid"]


def test_the_nearest_resolver_is_asked(cluster):
    nearer = cluster.lab.name_server()
    cluster.name(11)
    cluster.node(12)
    nearer.set(NAME, "A", "127.0.0.12")
    cluster.start(more=f"resolver {nearer.address} ipv6=off;")
    assert cluster.visited(2) == [12, 12]
    assert cluster.dns.asked == []


def test_valid_stands_for_the_time_that_answers_have(cluster):
    cluster.dns.ttl = 3600
    cluster.name(11)
    with_valid = cluster.stream().replace("ipv6=off", "ipv6=off valid=1s")
    cluster.lab.balancer(with_valid, workers=1)
    cluster.name(12)
    cluster.wait_for(12)


def test_an_upstream_of_http_has_names_too(cluster):
    broker = http.Broker()
    node = cluster.lab.node(broker, host="127.0.0.31")
    cluster.dns.set(NAME, "A", "127.0.0.31")
    http.balancer(
        cluster.lab,
        f"resolver {cluster.dns.address} ipv6=off;"
        f"upstream w {{ server {NAME}:{node.port} resolve; }}"
        f"server {{ listen 127.0.0.1:{cluster.listen}; location / {{ proxy_pass http://w; }} }}",
    )
    assert b"hello" in get(cluster.listen)
    cluster.dns.drop(NAME)
    wait_until(lambda: b" 502 Bad Gateway" in get(cluster.listen), "there is no broker any more")


def get(port) -> bytes:
    """The first bytes of an answer."""
    with sockets.open_raw(port) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return client.recv(4096)


def test_ctl_tells_of_names(cluster):
    cluster.name(11, 12)
    balancer = cluster.start()
    (upstream,) = balancer.told("upstreams")["upstreams"]
    (name,) = upstream["names"]
    assert name["resolved_at"] > 0
    assert {key: name[key] for key in ("server", "addresses", "failure")} == {
        "server": f"{NAME}:{cluster.port}",
        "addresses": 2,
        "failure": None,
    }
    cluster.dns.rcodes[NAME] = dns.rcode.SERVFAIL
    wait_until(
        lambda: (
            "2 addresses, resolved " in (text := balancer.shown("upstreams"))
            and "; (2: Server failure) since " in text
        ),
        "the failure is told",
        context=lambda: balancer.shown("upstreams"),
    )


def test_nobody_is_asked_any_more_while_the_last_sessions_are_served(cluster):
    cluster.name(11)
    balancer = cluster.start()
    with sockets.open_raw(cluster.listen) as client:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
        balancer.quit()
        wait_until(lambda: "shutting down" in balancer.errors(), "the stop has begun")
        wait_until(cluster.quiet, "no more questions come", timeout=20)
        client.sendall(b"still")
        assert client.recv(5) == b"still"


def test_the_name_of_a_host_that_variables_say_is_told_to_be_of_no_use(cluster):
    balancer = cluster.lab.balancer(
        f"resolver {cluster.dns.address}; map $server_port $to {{ default {NAME}:1883; }}"
        f"server {{ listen 127.0.0.1:{cluster.listen}; proxy_pass $to; }}"
    )
    assert cluster.visit() == 0
    assert f'{NAME} is not resolved, as "proxy_pass" has variables' in balancer.errors()
    assert cluster.dns.asked == []
