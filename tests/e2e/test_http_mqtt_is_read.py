"""Clients of different makers reach a real broker where their MQTT is read inside WebSocket."""

from __future__ import annotations

import os

import pytest

from lab import http
from lab.clients import V5, V31, V311, Client
from lab.fixtures import Lab
from lab.mqttjs import mqttjs
from lab.process import read
from lab.tls import client_context
from lab.waiting import wait_until

pytestmark = [
    pytest.mark.needs("mosquitto", "openssl"),
    pytest.mark.xdist_group("http_mqtt_is_read"),
]

MESSAGES = [["x", 0], ["y" * 200, 1], ["z" * 20_000, 2], ["", 1]]
WAYS = {"frames": "mqtt_preread on; proxy_pass http://ws;", "tcp": "proxy_pass http://tcp;"}
SECURE = pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])


class World:
    """Both kinds of listener before one mosquitto, by its WebSockets and by TCP."""

    def __init__(self, lab, authority, pair):
        self.authority = authority
        port = lab.ports.free()
        broker = lab.mosquitto(extra=f"listener {port} 127.0.0.1\nprotocol websockets\n")
        self.ws, self.wss = lab.ports.free(), lab.ports.free()
        locations = (
            f"location /frames {{ {WAYS['frames']} }}"
            f" location /tcp {{ mqtt_websocket_to tcp; {WAYS['tcp']} }}"
            " location /named { mqtt_websocket_to tcp; mqtt on;"
            " mqtt_set_connect clientid web-$mqtt_preread_clientid; proxy_pass http://tcp; }"
        )
        self.balancer = http.balancer(
            lab,
            "log_format m '$uri $mqtt_preread_clientid $status'; access_log mqtt.log m;"
            f"upstream ws {{ hash $mqtt_preread_clientid; server 127.0.0.1:{port}; }}"
            f"upstream tcp {{ hash $mqtt_preread_clientid; server {broker.address}; }}"
            f"server {{ listen 127.0.0.1:{self.ws}; {locations} }}"
            f"server {{ listen 127.0.0.1:{self.wss} ssl; ssl_certificate {pair[0]};"
            f" ssl_certificate_key {pair[1]}; {locations} }}",
            workers=2,
        )
        self.broker = broker

    def logged(self):
        """What the access log has of each session."""
        return read(os.path.join(self.balancer.folder, "mqtt.log")).split("\n")[:-1]


@pytest.fixture(scope="module")
def world(ports, authority, server_pair):
    lab = Lab(ports)
    yield World(lab, authority, server_pair)
    lab.close()


@SECURE
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("version", [V31, V311, V5], ids=["31", "311", "5"])
def test_paho(world, version, way, secure):
    """Two clients exchange messages of each quality, longer than any buffer of ours too."""
    port = world.wss if secure else world.ws
    name = f"paho-{version}-{way}-{secure}"

    def client(name):
        tls = client_context(world.authority) if secure else None
        return Client(port, name, version=version, path=f"/{way}", tls=tls)

    with client(name) as reader, client(f"{name}-2") as writer:
        reader.subscribe(f"{name}/#", 2)
        for number, size in enumerate((0, 100, 70_000)):
            writer.publish(f"{name}/{number}", b"x" * size, qos=number)
            message = reader.receive()
            assert (message.topic, len(message.payload)) == (f"{name}/{number}", size)
        assert reader.connected
    lines = {f"/{way} {name} 101", f"/{way} {name}-2 101"}
    wait_until(lambda: lines <= set(world.logged()), "both sessions are logged")


@SECURE
@pytest.mark.needs("mqttjs")
@pytest.mark.parametrize("way", WAYS)
def test_mqttjs(world, way, secure):
    port = world.wss if secure else world.ws
    more = {"ca": world.authority.certificate} if secure else {}
    told = mqttjs(port, f"js-{way}-{secure}", version=5, messages=MESSAGES, path=f"/{way}", **more)
    assert sorted(told["got"]) == sorted(MESSAGES)


def test_the_broker_sees_the_identifier_that_was_set(world):
    with Client(world.ws, "dev", path="/named") as client:
        assert client.connected
        wait_until(lambda: "web-dev" in world.broker.clients(), "the broker knows it")
