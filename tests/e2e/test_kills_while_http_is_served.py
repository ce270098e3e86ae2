"""SIGKILL of the control process, and of workers, while files, status pages and tunnels go on."""

import http.client
import os
import random
import signal
import threading
import time

import pytest

from lab import http as lab_http
from lab import proc, same_http
from lab.http import SWITCH, Broker, upgrade
from lab.sockets import receive
from lab.traffic import Traffic
from lab.waiting import wait_until

KILLS = int(os.environ.get("TIDEGATE_SOAK_KILLS", "6"))
HTTP = """
    upstream ws { server BROKER; }
    server {
        listen PORT;
        location /status { stub_status; }
        location /mqtt { proxy_pass http://ws; proxy_read_timeout 1h; }
        location / { root ROOT; }
    }
"""
LARGE = 300_000


class Visitor(threading.Thread):
    """Asks for files and pages again and again; `seen` counts statuses, 0 is a broken answer."""

    def __init__(self, port):
        super().__init__()
        self.port = port
        self.seen = {}
        self.wrong = []
        self.stop = threading.Event()
        self.start()

    def run(self):
        """Ask on one connection as long as it lives."""
        while not self.stop.is_set():
            try:
                with same_http.connect(self.port) as sock:
                    while not self.stop.is_set():
                        self.note(same_http.ask_on(sock, random.choice(("/status", "/large"))))
            except (OSError, http.client.HTTPException):
                self.seen[0] = self.seen.get(0, 0) + 1

    def note(self, answer):
        """Count an answer; a wrong one is kept."""
        self.seen[answer.status] = self.seen.get(answer.status, 0) + 1
        if answer.status == 200 and not (
            answer.body == b"x" * LARGE or answer.body.startswith(b"Active connections: ")
        ):
            self.wrong.append(answer.body[:100])


@pytest.fixture
def served(lab, tmp_path):
    """A balancer with content, tunnels and streams: (program, port of http, port of stream)."""
    (tmp_path / "large").write_bytes(b"x" * LARGE)
    broker, node = lab.node(Broker(SWITCH)), lab.node(keep=False)
    port, mqtt = lab.ports.free(), lab.ports.free()
    text = HTTP.replace("PORT", f"127.0.0.1:{port}").replace("ROOT", str(tmp_path))
    conf = same_http.conf(
        text.replace("BROKER", broker.address),
        program=lab.program,
        stream=f"server {{ listen 127.0.0.1:{mqtt}; proxy_pass {node.address}; }}",
        workers=2,
    )
    balancer = lab.idle_balancer(conf)
    balancer.start()
    balancer.wait_ready([port, mqtt], 2)
    return balancer, port, mqtt


def tunnel(port):
    """A tunnel that echoes."""
    sock = same_http.connect(port)
    sock.sendall(upgrade())
    head = b""
    while lab_http.END not in head:
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    same_http.echo(sock)
    return sock


def control_of(balancer):
    """The pid of the control process that serves, None while there is none."""
    return next((one["pid"] for one in balancer.told("status")["control"]), None)


def everything_is_back(balancer, port):
    """Only who asks is counted, and content is served."""

    def calm():
        try:
            answer = same_http.ask(port, "/status")
        except (OSError, http.client.HTTPException):
            return False
        active, *_totals, reading, writing, waiting = same_http.numbers(answer.body)
        return answer.status == 200 and (active, reading, writing, waiting) == (1, 0, 1, 0)

    wait_until(calm, "the status page counts who is there", context=balancer.errors)
    assert same_http.ask(port, "/large").body == b"x" * LARGE


def test_kills_of_the_control_process_harm_nobody_else(served):
    balancer, port, mqtt = served
    traffic = Traffic(("127.0.0.1", mqtt), 40)
    tunnels = [tunnel(port) for _ in range(10)]
    visitors = [Visitor(port) for _ in range(3)]
    pids = {balancer.pid, *balancer.workers()}
    # Once everything is warm: who serves has what it needs open.
    wait_until(lambda: all(one.seen.get(200, 0) > 3 for one in visitors), "all are served")
    try:
        for _ in range(KILLS):
            victim = wait_until(lambda: control_of(balancer), "there is a control process")
            time.sleep(random.uniform(0, 0.7))  # at any moment of its life, its start included
            os.kill(victim, signal.SIGKILL)
            wait_until(
                lambda gone=victim: control_of(balancer) not in {None, gone}, "another is there"
            )
        served_then = [one.seen.get(200, 0) for one in visitors]
        wait_until(
            lambda: all(
                one.seen.get(200, 0) > then + 3
                for one, then in zip(visitors, served_then, strict=True)
            ),
            "all are served again",
            timeout=60,
        )
        for sock in tunnels:
            same_http.echo(sock, b"still here")
    finally:
        for one in visitors:
            one.stop.set()
        for one in visitors:
            one.join()
        broken = list(traffic.broken)
        traffic.close()
        for sock in tunnels:
            sock.close()
    assert broken == []
    assert [one.wrong for one in visitors] == [[]] * 3
    assert set().union(*(one.seen for one in visitors)) <= {0, 200, 502, 503}
    assert pids == {balancer.pid, *balancer.workers()}
    everything_is_back(balancer, port)


def test_kills_of_workers_leave_right_numbers(served):
    balancer, port, mqtt = served
    visitors = [Visitor(port) for _ in range(3)]
    try:
        for _ in range(KILLS):
            streams = [same_http.connect(mqtt) for _ in range(4)]
            tunnels = [tunnel(port) for _ in range(4)]
            half = same_http.connect(port)
            half.sendall(b"GET /lar")
            workers = balancer.workers()
            victim = random.choice(workers)
            owners = proc.served_by(workers, port)
            others = [one for one in tunnels if owners[one.getsockname()[1]] != victim]
            os.kill(victim, signal.SIGKILL)
            wait_until(
                lambda gone=victim: len(set(balancer.workers()) - {gone}) == 2,
                "the worker is replaced",
                context=balancer.errors,
            )
            assert [sock for sock in tunnels if lives(sock)] == others
            for sock in (*streams, *tunnels, half):
                sock.close()
    finally:
        for one in visitors:
            one.stop.set()
        for one in visitors:
            one.join()
    assert [one.wrong for one in visitors] == [[]] * 3
    everything_is_back(balancer, port)
    assert not [pid for pid in proc.children(balancer.pid) if not proc.alive(pid)]


def lives(sock):
    """Whether a tunnel still echoes; one of the killed has ended."""
    try:
        sock.sendall(b"ping")
        return receive(sock, 4) == b"ping"
    except (OSError, AssertionError):
        return False
