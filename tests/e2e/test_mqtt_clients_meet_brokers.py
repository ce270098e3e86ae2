"""Clients and brokers of different makers talk through a balancer that reads their CONNECT."""

import os
import subprocess
import tempfile

import pytest

from lab.clients import V5, V31, V311, Client
from lab.ejabberd import USER, Ejabberd
from lab.mqttjs import mqttjs
from lab.process import read
from lab.rabbitmq import RabbitMQ
from lab.waiting import PATIENCE, wait_until

VERSIONS = {V31: "3.1", V311: "3.1.1", V5: "5"}
COUNT = 20
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


CLIENTS = [
    pytest.param(paho, id="paho"),
    pytest.param(mosquitto, id="mosquitto", marks=pytest.mark.needs("mosquitto")),
    pytest.param(mqtt_js, id="mqtt.js", marks=pytest.mark.needs("mqttjs")),
]


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
@pytest.mark.parametrize("client", CLIENTS)
def test_mosquitto_serves_all_versions(lab, client):
    broker = lab.mosquitto()
    names = talk(client, broker, lab, versions=VERSIONS, highest=2)
    wait_until(lambda: broker.clients() == names, "its log names them", context=broker.tail)


@pytest.fixture(scope="module")
def module_folder():
    with tempfile.TemporaryDirectory(prefix="tidegate-broker-") as folder:
        yield folder


@pytest.fixture(scope="module")
def ejabberd(module_folder, ports):
    broker = Ejabberd(folder=module_folder, port=ports.free())
    yield broker.start()
    broker.clean_up()


@pytest.fixture(scope="module")
def rabbitmq(module_folder, ports):
    broker = RabbitMQ(folder=module_folder, ports=ports)
    yield broker.start()
    broker.clean_up()


@pytest.mark.needs("ejabberd", "root")
@pytest.mark.xdist_group("ejabberd")
@pytest.mark.parametrize("client", CLIENTS)
def test_ejabberd_serves_all_its_versions(lab, ejabberd, client):
    before = len(ejabberd.clients())
    names = talk(client, ejabberd, lab, versions=[V311, V5], highest=2, user=USER)
    wait_until(lambda: ejabberd.clients()[before:] == names, "its log names them")


@pytest.mark.needs("rabbitmq", "root")
@pytest.mark.xdist_group("rabbitmq")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("client", CLIENTS)
def test_rabbitmq_is_told_where_its_clients_are(lab, rabbitmq, client):
    before = len(rabbitmq.told())
    names = talk(  # it has neither 5 nor QoS 2
        client, rabbitmq, lab, versions=[V31, V311], highest=1, more="proxy_protocol on;"
    )
    wait_until(
        lambda: rabbitmq.told()[before:] == [(DEVICE, name) for name in names],
        "its log names them with their addresses",
        context=lambda: rabbitmq.told()[before:],
    )


@pytest.mark.needs("rabbitmq", "root")
@pytest.mark.xdist_group("rabbitmq")
@pytest.mark.timeout(180)
def test_a_rewritten_connect_of_20_kib_follows_the_proxy_header(lab, rabbitmq):
    more = "proxy_protocol on; mqtt on; mqtt_set_connect clientid device-of-$remote_addr;"
    port, _logged = front(lab, rabbitmq, more)
    will = ("gone", b"w" * 20_000, 1, False)
    with Client(port, "reader", source="127.0.0.78") as reader:
        reader.subscribe("gone", 1)
        with Client(port, "x", will=will, source=DEVICE) as device:
            device.vanish()
            assert reader.receive().payload == b"w" * 20_000
    assert (DEVICE, f"device-of-{DEVICE}") in rabbitmq.told()
