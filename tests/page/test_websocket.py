"""The page's WebSocket, WSS and status sections, and its quick-start file, do what the page says.

Directives and values are the page's; addresses, ports and paths are the test's own.
"""

from __future__ import annotations

import os
import re

import pytest

from lab import proc
from lab.certificates import LOCAL_HOST
from lab.clients import Client
from lab.http import ask, get, split
from lab.tls import client_context, connect
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("mosquitto", "openssl")

FOLDER = os.path.dirname(__file__)
MUTUAL = re.compile(r"# (ssl_client_certificate|ssl_verify_client)")
NODES = re.compile(r"emqx\d(?:-cluster\.emqx\.io)?:(\d+)")


class World:
    """Brokers for each port of the page's nodes, and the page's text in front of them."""

    def __init__(self, lab, authority):
        self.lab = lab
        self.authority = authority
        self.certificate, self.key = authority.sign("emqx", extensions=LOCAL_HOST)
        self.brokers = {"1883": [], "8083": []}
        self.ports = {}

    def broker(self):
        """A mosquitto with both listeners."""
        port = self.lab.ports.free()
        made = self.lab.mosquitto(extra=f"listener {port} 127.0.0.1\nprotocol websockets\n")
        self.brokers["1883"].append(made.address)
        self.brokers["8083"].append(f"127.0.0.1:{port}")
        return made

    def text(self, number):
        """The page's file as this world has it."""
        with open(os.path.join(FOLDER, f"{number}.conf")) as file:
            text = file.read()
        turns = dict.fromkeys(self.brokers, 0)

        def node(match):
            found = self.brokers[match[1]]
            turns[match[1]] += 1
            return found[(turns[match[1]] - 1) % len(found)]

        text = NODES.sub(node, text)
        for name in ("cert.pem", "emqx.pem"):
            text = re.sub(rf"\S+/certs/{name}", self.certificate, text)
        for name in ("key.pem", "emqx.key"):
            text = re.sub(rf"\S+/certs/{name}", self.key, text)
        text = re.sub(r"\S+/certs/ca.pem", self.authority.certificate, text)
        text = re.sub(r"(?m)^(user|error_log|pid) .*$", "", text)
        text = re.sub(r"listen( +)(\d+)", self._port, text)
        # Two of one address would be one broker that is tried twice as often.
        return text.replace("server_name mqtt.example.com", "server_name 127.0.0.1")

    def _port(self, match):
        self.ports[match[2]] = self.lab.ports.free()
        return f"listen{match[1]}127.0.0.1:{self.ports[match[2]]}"

    def run(self, text):
        user = "user root;" if os.getuid() == 0 else ""
        more = f"daemon off; pid balancer.pid; error_log error.log info; {user}"
        balancer = self.lab.idle_balancer(text, directives=more)
        os.makedirs(os.path.join(balancer.folder, "logs"), exist_ok=True)
        return balancer.start().wait_ready(list(self.ports.values()), 1)


@pytest.fixture
def world(lab, authority):
    """The page's world."""
    return World(lab, authority)


def talks(port, name, *, tls=None):
    """Whether a message comes back by WebSocket."""
    with Client(port, name, path="/mqtt", tls=tls) as client:
        client.subscribe(name)
        client.publish(name, b"hello")
        return client.receive().payload == b"hello"


def test_03_spreads_websockets_over_two_nodes(world):
    brokers = [world.broker(), world.broker()]
    world.run(world.text("03"))
    for number in range(4):
        assert talks(world.ports["80"], f"ws-{number}")
    assert [len(broker.clients()) for broker in brokers] == [2, 2]


def test_04_ends_tls_before_websockets(world):
    world.broker()
    world.run(world.text("04"))
    assert talks(world.ports["443"], "wss", tls=client_context(world.authority))


def test_04_with_its_comment_lines_lets_devices_in_by_certificate(world):
    world.broker()
    world.run(MUTUAL.sub(r"\1", world.text("04")))
    port = world.ports["443"]
    device = world.authority.sign("device")
    assert talks(port, "known", tls=client_context(world.authority, pair=device))
    assert "400" in refused(port, client_context(world.authority))


def refused(port, context):
    """What a client without a certificate is told."""
    with connect(port, context) as client:
        client.sendall(get("/mqtt"))
        answer = b""
        while more := client.recv(65536):
            answer += more
    status, _fields, body = split(answer)
    assert b"No required SSL certificate was sent" in body
    return str(status)


def test_13_tells_of_connections(world):
    world.run(world.text("13"))
    status, fields, body = split(ask(world.ports["8888"], get("/status")))
    assert status == 200
    assert dict(fields)["Content-Type"] == "text/plain"
    assert body == (
        b"Active connections: 1 \nserver accepts handled requests\n 1 1 1 \n"
        b"Reading: 0 Writing: 1 Waiting: 0 \n"
    )


def test_00_serves_all_that_the_quick_start_has(world):
    brokers = [world.broker() for _ in range(3)]
    balancer = world.run(world.text("00"))
    context = client_context(world.authority)
    for number in range(3):
        with Client(world.ports["1883"], f"tcp-{number}") as client:
            client.subscribe("x")
        assert talks(world.ports["8083"], f"ws-{number}")
    assert [len(broker.clients()) for broker in brokers] == [2, 2, 2]
    assert talks(world.ports["8084"], "wss", tls=context)
    with Client(world.ports["8883"], "tls", tls=client_context(world.authority)) as client:
        client.subscribe("x")
    status, _fields, body = split(ask(world.ports["8888"], get("/status")))
    assert status == 200
    accepted, handled, requests = map(int, body.split(b"\n")[2].split())
    assert accepted == handled == 3 + 3 + 1 + 1 + 1
    assert requests == 3 + 1 + 1  # sessions of stream are none
    wait_until(lambda: len(proc.children(balancer.pid)) >= 2, "a worker and the control process")
