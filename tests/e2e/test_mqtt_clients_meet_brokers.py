"""Clients and brokers of different makers talk through a balancer that reads their CONNECT."""

import os
import subprocess

import pytest

from lab import packets, sockets
from lab.clients import V5, V31, V311, Client
from lab.ejabberd import USER
from lab.mqttjs import mqttjs
from lab.process import read
from lab.waiting import PATIENCE, wait_until

VERSIONS = {V31: "3.1", V311: "3.1.1", V5: "5"}
COUNT = 20
# First bytes of packets, and of none.
CONNACK, CLOSED = 0x20, 0
# An address that no client has unless it asks for it.
DEVICE = "127.0.0.77"


def front(lab, broker, more=""):
    """A balancer that reads MQTT; its port, and what its log has of each session."""
    port = lab.ports.free()
    balancer = lab.balancer(
        "log_format mqtt '$mqtt_preread_clientid $mqtt_protocol_version $status';"
        f"server {{ listen 127.0.0.1:{port}; proxy_pass {broker.address}; mqtt_preread on;"
        f" access_log mqtt.log mqtt; {more} }}"
    )
    return port, lambda: read(os.path.join(balancer.folder, "mqtt.log")).split("\n")[:-1]


def paho(port, version, highest, user):
    with Client(port, "paho", version=version, username=user, source=DEVICE) as client:
        client.subscribe("paho", highest)
        for number in range(COUNT):
            client.publish("paho", f"{number}", qos=number % (highest + 1))
        got = [client.receive() for _ in range(COUNT)]
        assert client.messages.empty()
    got = sorted((int(message.payload), message.qos) for message in got)
    assert got == [(number, number % (highest + 1)) for number in range(COUNT)]
    return ["paho"]


def mosquitto(port, version, highest, user):
    def run(program, *more):
        argv = [program, "-p", str(port), "-V", f"mqttv{VERSIONS[version].replace('.', '')}"]
        argv += ["-i", program, "-q", str(highest), "-t", "mosquitto", "-h", "127.0.0.1"]
        argv += ["-A", DEVICE, *(["-u", user, "-P", "secret"] if user else []), *more]
        return subprocess.run(argv, timeout=PATIENCE, check=True, capture_output=True).stdout

    # Retained, so that it does not matter when the reader comes.
    run("mosquitto_pub", "-r", "-m", "hello")
    assert run("mosquitto_sub", "-C", "1", "-W", "10") == b"hello\n"
    return ["mosquitto_pub", "mosquitto_sub"]


def mqtt_js(port, version, highest, user):
    login = {"username": user, "password": "secret"} if user else {}
    messages = [[f"{number}", number % (highest + 1)] for number in range(COUNT)]
    more = {"localAddress": DEVICE, **login}
    told = mqttjs(port, "js", version=int(version), messages=messages, **more)
    assert sorted(told["got"]) == sorted(messages)
    return ["js"]


CLIENTS = {"paho": paho, "mosquitto": mosquitto, "mqtt.js": mqtt_js}


def talk(client, broker, lab, *, versions, highest, user=None, more=""):
    """The client at work in each version, with each QoS; who came, as the log has it."""
    port, logged = front(lab, broker, more)
    came, lines = [], []
    for version in versions:
        names = client(port, version, highest, user)
        came += names
        lines += [f"{name} {VERSIONS[version]} 200" for name in names]
    lines.sort()
    wait_until(lambda: sorted(logged()) == lines, f"the log says {lines}", context=logged)
    return came


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(
    "name", ["paho", "mosquitto", pytest.param("mqtt.js", marks=pytest.mark.needs("mqttjs"))]
)
def test_mosquitto_serves_all_versions(lab, name):
    broker = lab.mosquitto()
    names = talk(CLIENTS[name], broker, lab, versions=VERSIONS, highest=2)
    wait_until(lambda: broker.clients() == names, "its log names them", context=broker.tail)


# Started once for all clients, as it takes seconds.
@pytest.mark.needs("ejabberd", "mosquitto", "mqttjs", "root")
def test_ejabberd_serves_all_its_versions(lab):
    broker = lab.ejabberd()
    came = []
    for client in CLIENTS.values():
        came += talk(client, broker, lab, versions=[V311, V5], highest=2, user=USER)
    wait_until(lambda: broker.clients() == came, "its log names them", context=broker.tail)


@pytest.mark.needs("rabbitmq", "mosquitto", "mqttjs", "root")
@pytest.mark.timeout(240)
def test_rabbitmq_is_told_where_its_clients_are(lab):
    broker = lab.rabbitmq()
    came = []
    for client in CLIENTS.values():  # it has neither 5 nor QoS 2
        came += talk(
            client, broker, lab, versions=[V31, V311], highest=1, more="proxy_protocol on;"
        )
    wait_until(
        lambda: broker.told() == [(DEVICE, name) for name in came],
        "its log names them with their addresses",
        context=broker.told,
    )
    with_a_connect_of_20_kib(lab, broker)
    # It answers a second CONNECT, and leaves the client the name of its first.
    heard = connecting_twice(lab, broker, versions=[3, 4], more="proxy_protocol on;")
    assert heard == [CONNACK, CONNACK]
    wait_until(
        lambda: broker.output().count("duplicate connect/login attempt") == len(heard),
        "its log tells of them",
        context=broker.tail,
    )


def with_a_connect_of_20_kib(lab, rabbitmq):
    """It is rewritten, behind the PROXY header."""
    more = "proxy_protocol on; mqtt on; mqtt_set_connect clientid device-of-$remote_addr;"
    port, _logged = front(lab, rabbitmq, more)
    will = ("gone", b"w" * 20_000, 1, False)
    with Client(port, "reader", source="127.0.0.78") as reader:
        reader.subscribe("gone", 1)
        with Client(port, "x", will=will, source=DEVICE) as device:
            device.vanish()
            assert reader.receive().payload == b"w" * 20_000
    assert (DEVICE, f"device-of-{DEVICE}") in rabbitmq.told()


def connecting_twice(lab, broker, *, versions, more=""):
    """What the broker says to a second CONNECT; the log knows the first alone, which was read."""
    port, logged = front(lab, broker, f"mqtt_require on; {more}")
    heard = []
    for version in versions:
        with sockets.open_raw(port) as sock:
            sock.sendall(packets.connect("first", version=version))
            assert packets.read_packet(sock)[0] == CONNACK
            sock.sendall(packets.connect("second", version=version))
            heard.append(packets.read_packet(sock)[0])
    lines = [f"first {VERSIONS[version]} 200" for version in versions]
    wait_until(lambda: logged() == lines, "they are in the log as they began", context=logged)
    return heard


@pytest.mark.needs("mosquitto")
def test_a_second_connect_is_the_brokers_to_judge(lab):
    """MQTT asks it to close, and so it does."""
    heard = connecting_twice(lab, lab.mosquitto(), versions=[3, 4, 5])
    assert heard == [CLOSED] * 3


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("more", ["mqtt_preread on;", "mqtt on; mqtt_set_connect clientid x;"])
def test_a_second_connect_passes_unread(lab, version, more):
    """Nor is it rewritten: what follows the first packet is passed on byte by byte."""
    second = packets.connect("second", version=version) + b"\x10\xff\xff\xff\xff and no CONNECT"

    async def serve(session):
        await session.recv()
        await session.send(packets.connack(version=version))
        while not session.received.endswith(second):
            assert await session.recv()

    node = lab.node(serve)
    _balancer, port = lab.in_front(node, more=more)
    with sockets.open_raw(port) as sock:
        sock.sendall(packets.connect("x", version=version))
        assert packets.read_packet(sock)[0] == CONNACK
        sock.sendall(second)
        assert sockets.receive_all(sock) == b""
    first = packets.connect("x", version=version)
    assert bytes(node.sessions[0].received) == first + second
