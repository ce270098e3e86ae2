"""Clients of different makers reach brokers of different makers by WebSocket, plain and in TLS."""

from __future__ import annotations

import pytest

from lab import http
from lab.clients import V5, V31, V311, Client
from lab.fixtures import Lab
from lab.mqttjs import mqttjs
from lab.tls import client_context

# One world is made for each broker, so all of it is for one process.
pytestmark = [
    pytest.mark.needs("mosquitto", "openssl"),
    pytest.mark.xdist_group("http_mqtt_clients"),
]

# The page's location, as it stands there.
PAGE = """
location /mqtt { proxy_pass http://brokers; proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "Upgrade";
    proxy_buffering off; proxy_set_header Host $host;
    proxy_set_header X-Real-IP $remote_addr; proxy_set_header REMOTE-HOST $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }
"""
MESSAGES = [["x", 0], ["y" * 200, 1], ["z" * 20_000, 2], ["", 1]]


class World:
    """Both kinds of listener in front of one broker's WebSockets."""

    def __init__(self, lab, authority, pair, port):
        self.authority = authority
        self.ws, self.wss = lab.ports.free(), lab.ports.free()
        self.balancer = http.balancer(
            lab,
            f"upstream brokers {{ server 127.0.0.1:{port}; }}"
            f"server {{ listen 127.0.0.1:{self.ws}; {PAGE} }}"
            f"server {{ listen 127.0.0.1:{self.wss} ssl; ssl_certificate {pair[0]};"
            f" ssl_certificate_key {pair[1]}; {PAGE} }}",
            workers=2,
        )


@pytest.fixture(scope="module")
def module_lab(ports):
    lab = Lab(ports)
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def mosquitto(module_lab, authority, server_pair):
    """In front of a mosquitto, which needs a plain listener beside that for WebSockets."""
    port = module_lab.ports.free()
    module_lab.mosquitto(extra=f"listener {port} 127.0.0.1\nprotocol websockets\n")
    return World(module_lab, authority, server_pair, port)


@pytest.fixture(scope="module")
def rabbitmq(module_lab, authority, server_pair):
    """In front of a RabbitMQ, which speaks no MQTT 5."""
    broker = module_lab.rabbitmq(web=True)
    return World(module_lab, authority, server_pair, broker.web_port)


def paho_talks(world, version, *, secure):
    """Two clients exchange messages of each quality."""
    port = world.wss if secure else world.ws
    tls = client_context(world.authority) if secure else None
    options = {"version": version, "path": "/mqtt", "host": "127.0.0.1"}
    name = f"paho-{version}-{secure}"
    with Client(port, name, tls=tls, **options) as reader:
        reader.subscribe(f"{name}/#", 2)
        if secure:
            tls = client_context(world.authority)
        with Client(port, f"{name}-2", tls=tls, **options) as writer:
            for number, size in enumerate((0, 100, 70_000)):
                writer.publish(f"{name}/{number}", b"x" * size, qos=number)
                message = reader.receive()
                assert (message.topic, len(message.payload)) == (f"{name}/{number}", size)
        assert reader.connected


def mqttjs_talks(world, version, *, secure):
    """One client gets back what it sends."""
    port = world.wss if secure else world.ws
    more = {"ca": world.authority.certificate} if secure else {}
    told = mqttjs(
        port, f"js-{version}-{secure}", version=version, messages=MESSAGES, path="/mqtt", **more
    )
    assert sorted(told["got"]) == sorted(MESSAGES)


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("version", [V31, V311, V5], ids=["31", "311", "5"])
def test_paho_and_mosquitto(mosquitto, version, secure):
    paho_talks(mosquitto, version, secure=secure)


@pytest.mark.needs("mqttjs")
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("version", [3, 4, 5])
def test_mqttjs_and_mosquitto(mosquitto, version, secure):
    mqttjs_talks(mosquitto, version, secure=secure)


@pytest.mark.needs("mqttjs", "rabbitmq")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_both_and_rabbitmq(rabbitmq, secure):
    paho_talks(rabbitmq, V311, secure=secure)
    port = rabbitmq.wss if secure else rabbitmq.ws
    more = {"ca": rabbitmq.authority.certificate} if secure else {}
    messages = [message for message in MESSAGES if message[1] < 2]  # it knows no QoS 2
    told = mqttjs(port, f"js-{secure}", version=4, messages=messages[:2], path="/mqtt", **more)
    assert sorted(told["got"]) == sorted(messages[:2])
