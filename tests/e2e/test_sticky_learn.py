"""`sticky learn`: a client finds the node that it had, whatever happened meanwhile."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter

import pytest

from lab import packets, proc, sockets
from lab.balancer import MODULES, command, whole
from lab.clients import V5, Client
from lab.waiting import PATIENCE, stays, wait_until
from tidegate.process.state_file import load
from tidegate.scoreboard.learned import Learned

KEY = "$mqtt_preread_clientid"
LEARN = f"sticky learn lookup={KEY} create={KEY}"
NAMES = "abc"
CLIENTS = [f"client{number}" for number in range(12)]
REFUSED = packets.connack(3)


def broker(name, answer=packets.CONNACK_OK):
    """Answer a CONNECT, then say which node this is."""

    async def serve(session):
        while not (data := await session.recv()).startswith(b"\x10"):
            if not data:
                return
        await session.send(answer + name.encode())
        while await session.recv():
            pass

    return serve


class Front:
    """A balancer with a table, and nodes that say their names; it may be started again."""

    def __init__(self, lab, *, nodes, more="zone=clients:64k", method="", workers=2, reads=True):
        self.port = lab.ports.free()
        self.nodes = nodes
        self.workers = workers
        self.reads = reads
        self.balancer = lab.idle_balancer(self.text(more, method, nodes))
        self.start()

    def text(self, more, method="", nodes=None):
        servers = " ".join(f"server {node.address} max_fails=0;" for node in nodes or self.nodes)
        learn = LEARN if self.reads else "sticky learn lookup=$remote_addr create=$remote_addr"
        return whole(
            f"upstream nodes {{ {method} {servers} {learn} {more}; }}"
            f"server {{ listen 127.0.0.1:{self.port}; proxy_pass nodes;"
            f" {'mqtt_preread on;' if self.reads else ''} }}",
            workers=self.workers,
            level="notice",
        )

    def start(self):
        self.balancer.start()
        self.balancer.wait_ready([self.port], self.workers)

    def reload(self, text):
        with open(self.balancer.conf, "w", encoding="utf-8") as file:
            file.write(text)
        done = self.balancer.send("reload")
        assert done.returncode == 0, done.stderr

    def kill_everything(self):
        """SIGKILL of the master and then of all of its children."""
        pids = [self.balancer.pid, *proc.children(self.balancer.pid)]
        self.balancer.kill()
        for pid in pids[1:]:
            if proc.alive(pid):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(proc.alive, pids)), "nothing of it runs")

    def visit(self, client, source=None):
        """Come and go; the name of the node, "" where it refused."""
        with sockets.open_raw(self.port, source=source) as sock:
            sock.sendall(packets.connect(client))
            answer = sockets.receive(sock, 5)
        return answer[4:].decode() if answer.startswith(packets.CONNACK_OK) else ""

    def visits(self, clients=CLIENTS, source=None):
        return {client: self.visit(client, source) for client in clients}

    def told(self):
        (table,) = self.balancer.told("upstreams")["sticky"]
        return table

    def says(self):
        """What `tidegate ctl upstreams` prints."""
        argv = [*command("tidegate"), "ctl", "-c", self.balancer.conf, "-p", self.balancer.folder]
        env = {**os.environ, "PYTHONPATH": MODULES}
        done = subprocess.run(
            [*argv, "upstreams"], env=env, capture_output=True, text=True, check=True
        )
        return done.stdout

    @property
    def file(self):
        return os.path.join(self.balancer.folder, "clients.sticky")

    def saved(self):
        """How many entries are in the file."""
        if not os.path.exists(self.file):
            return 0
        return load(self.file, Learned.create(1 << 20), timeout=3600)


@pytest.fixture
def nodes(lab):
    return [lab.node(broker(name)) for name in NAMES]


def test_a_client_finds_its_node_from_another_address(lab, nodes):
    front = Front(lab, nodes=nodes)
    first = front.visits(source="127.0.0.1")
    # They took turns when nobody knew them.
    assert Counter(first.values()) == dict.fromkeys(NAMES, len(CLIENTS) // 3)
    for number in range(2, 6):
        assert front.visits(source=f"127.0.0.{number}") == first
    told = front.told()
    assert (told["zone"], told["entries"], told["dropped"]) == ("clients", len(CLIENTS), 0)
    assert told["room"] > 900


def test_a_reload_forgets_nothing(lab, nodes):
    front = Front(lab, nodes=nodes)
    first = front.visits()
    front.reload(front.text("zone=clients:64k timeout=2h", "least_conn;"))
    assert front.visits() == first
    front.reload(front.text("zone=clients:128k", "random;"))
    assert front.visits() == first
    assert front.balancer.errors().count("sticky of nodes") == 2


def test_entries_of_a_node_that_left_wait_for_it(lab, nodes):
    front = Front(lab, nodes=nodes)
    first = front.visits()
    front.reload(front.text("zone=clients:64k", nodes=nodes[1:]))
    moved = [client for client, name in first.items() if name == "a"]
    staying = [client for client in CLIENTS if client not in moved]
    # Only who comes meanwhile gets another node, and keeps it.
    came, stayed_away = moved[:2], moved[2:]
    found = front.visits(came)
    assert set(found.values()) <= {"b", "c"}
    front.reload(front.text("zone=clients:64k"))
    assert front.visits(came) == found
    assert front.visits(stayed_away) == dict.fromkeys(stayed_away, "a")
    assert front.visits(staying) == {client: first[client] for client in staying}


def test_a_restart_after_everything_was_killed_forgets_nothing(lab, nodes):
    front = Front(lab, nodes=nodes)
    first = front.visits()
    wait_until(lambda: front.saved() == len(CLIENTS), "the table is saved")
    front.kill_everything()
    front.start()
    assert front.visits() == first
    assert f"begins with {len(CLIENTS)} entries" in front.balancer.errors()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT], ids=["stop", "quit"])
def test_what_was_learned_last_is_saved_at_the_end(lab, nodes, number):
    front = Front(lab, nodes=nodes)
    first = front.visits()
    assert front.balancer.stop(number) == 0
    assert front.saved() == len(CLIENTS)
    front.start()
    assert front.visits() == first


def test_everything_may_be_killed_at_any_moment(lab, nodes):
    front = Front(lab, nodes=nodes)
    chance = random.Random()
    state, whole = front.file, 0
    for turn in range(3):
        for number in range(chance.randrange(1, 150)):
            front.visit(f"turn{turn}.{number}")
        if turn % 2:
            # In the midst of a save, perhaps, which is often as the file is to be another one.
            front.reload(front.text(f"zone=clients:64k state={turn}.sticky"))
            state = os.path.join(front.balancer.folder, f"{turn}.sticky")
            wait_until(
                lambda at=state: os.path.exists(at) or os.path.exists(f"{at}.new"),
                "it begins to be saved",
            )
        front.kill_everything()
        whole += os.path.exists(state)
        front.start()
    errors = front.balancer.errors()
    assert errors.count("begins with") == whole
    assert "begins empty" not in errors


def test_a_damaged_file_is_told_of_and_everybody_is_served(lab, nodes):
    front = Front(lab, nodes=nodes)
    front.visits()
    front.balancer.stop()
    with open(front.file, "r+b") as file:
        file.seek(60)
        file.write(b"#")
    front.start()
    assert "" not in front.visits().values()
    told = [line for line in front.balancer.errors().splitlines() if "begins empty" in line]
    assert len(told) == 1
    assert "[error]" in told[0]


def test_a_folder_that_takes_no_file_costs_one_line(lab, nodes):
    front = Front(lab, nodes=nodes, more="zone=clients:64k state=nowhere/clients.sticky")
    front.visits()
    front.balancer.wait_for_output("is not saved")
    first = front.visits()
    assert front.visits() == first
    assert front.balancer.stop() == 0
    assert front.balancer.errors().count("is not saved") == 1


# The program, with a disk that does not give the file.
HANGING = """
import sys, threading
from tidegate.cli.main import main
from tidegate.process import tables
tables.load = lambda *_what, **_how: print("reads", flush=True) or threading.Event().wait()
sys.exit(main())
"""


def test_a_start_that_waits_for_the_disk_can_be_stopped(lab, nodes):
    front = Front(lab, nodes=nodes)
    front.balancer.stop()
    argv = [sys.executable, "-c", HANGING, "-c", front.balancer.conf, "-p", front.balancer.folder]
    env = {**os.environ, "PYTHONPATH": MODULES}
    started = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE)
    try:
        assert started.stdout.readline() == b"reads\n"
        started.terminate()
        assert started.wait(PATIENCE) == 0
    finally:
        started.kill()
        started.communicate()


def test_a_node_that_fails_loses_its_clients_to_others(lab, nodes):
    front = Front(lab, nodes=nodes)
    first = front.visits()
    (client, *_) = [client for client, name in first.items() if name == "b"]
    with nodes[1].refusing():
        second = front.visit(client)
        assert second in {"a", "c"}
    # Its session is there now.
    assert front.visit(client) == second
    others = [one for one in CLIENTS if one != client]
    assert front.visits(others) == {one: first[one] for one in others}


def test_a_node_that_refuses_is_not_learned(lab):
    nodes = [lab.node(broker("a", REFUSED)), lab.node(broker("b"))]
    front = Front(lab, nodes=nodes, workers=1)
    assert front.visit("client") == ""
    assert front.told()["entries"] == 0
    assert [front.visit("client") for _ in range(4)] == ["b"] * 4
    assert front.told()["entries"] == 1


def test_where_the_table_is_full_the_oldest_go(lab, nodes):
    front = Front(lab, nodes=nodes, more="zone=clients:32k", workers=1)
    room = front.told()["room"]
    assert room < 600
    first = front.visits()
    many = front.visits([f"other{number}" for number in range(room - len(CLIENTS))])
    assert front.told()["dropped"] == 0
    assert front.visits(CLIENTS[:6]) == {client: first[client] for client in CLIENTS[:6]}
    front.visits([f"more{number}" for number in range(6)])
    told = front.told()
    assert (told["entries"], told["dropped"]) == (room, 6)
    said = f'sticky zone "clients": {room} of {room} entries, 6 made room for others\n'
    assert front.says().endswith(said)
    # Those of the first that did not come again are those that went.
    last = list(many)[-6:]
    assert front.visits(last) == {client: many[client] for client in last}
    assert front.visits(CLIENTS[:6]) == {client: first[client] for client in CLIENTS[:6]}


def test_an_entry_lasts_as_long_as_its_session_and_a_while_longer(lab, nodes):
    front = Front(lab, nodes=nodes, more="zone=clients:64k timeout=2s", workers=1)
    with sockets.open_raw(front.port) as sock:
        sock.sendall(packets.connect("client"))
        name = sockets.receive(sock, 5)[4:].decode()
        stays(lambda: front.told()["entries"] == 1, "it is known", seconds=4)
    assert front.visit("client") == name
    wait_until(lambda: front.told()["entries"] == 0, "its time is over")


def test_clients_of_another_protocol_are_learned_as_they_connect(lab):
    names = [lab.node(say(name)) for name in NAMES]
    front = Front(lab, nodes=names, reads=False)
    first = {}
    for number in range(2, 8):
        with sockets.open_raw(front.port, source=f"127.0.0.{number}") as sock:
            first[number] = sockets.receive(sock, 1)
    assert set(first.values()) == {b"a", b"b", b"c"}
    for number, name in first.items():
        with sockets.open_raw(front.port, source=f"127.0.0.{number}") as sock:
            assert sockets.receive(sock, 1) == name


def say(name):
    """Say the name at once."""

    async def serve(session):
        await session.send(name.encode())
        while await session.recv():
            pass

    return serve


def test_a_client_finds_the_node_that_named_it(lab):
    nodes = [lab.mosquitto() for _ in range(3)]
    port = lab.ports.free()
    servers = " ".join(f"server {node.address};" for node in nodes)
    lab.balancer(
        f"upstream nodes {{ {servers} sticky learn lookup={KEY} zone=clients:64k"
        f" create=$mqtt_assigned_clientid create={KEY}; }}"
        f"server {{ listen 127.0.0.1:{port}; proxy_pass nodes; mqtt_preread on; }}",
        workers=2,
    )
    for _ in range(6):
        before = [node.clients() for node in nodes]
        Client(port, "", version=V5).close()
        number, name = wait_until(lambda old=before: newcomer(nodes, old), "a node has named it")
        for _ in range(3):
            seen = nodes[number].clients().count(name)
            Client(port, name, version=V5).close()
            wait_until(
                lambda at=number, who=name, old=seen: nodes[at].clients().count(who) > old,
                "it comes to the same node",
            )


def newcomer(nodes, before):
    """The node that has a client more, and the client's name."""
    for number, node in enumerate(nodes):
        new = node.clients()[len(before[number]) :]
        if new:
            return number, new[0]
    return None
