"""What `mqtt_set_connect` says is who the client is to a real broker."""

import re
import subprocess

import pytest

from lab.clients import V5, V31, V311, Client, RefusedError
from lab.mqttjs import mqttjs
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("mosquitto")


def test_the_broker_knows_the_clients_by_the_name_that_was_set(lab):
    broker = lab.mosquitto()
    more = "mqtt on; mqtt_set_connect clientid at-$remote_addr-$mqtt_protocol_version;"
    _balancer, port = lab.in_front(broker, more=more)
    for version in (V31, V311, V5):
        with Client(port, "anybody", version=version, source="127.0.0.5") as client:
            client.subscribe("t", 1)
            client.publish("t", b"x", qos=1)
            assert client.receive().payload == b"x"
    assert broker.clients() == [f"at-127.0.0.5-{version}" for version in ("3.1", "3.1.1", "5")]


@pytest.mark.needs("mqttjs")
def test_a_client_of_mqtt_js_gets_a_name_too(lab):
    broker = lab.mosquitto()
    more = 'mqtt on; mqtt_set_connect clientid "fleet/$mqtt_preread_clientid";'
    _balancer, port = lab.in_front(broker, more=more)
    told = mqttjs(port, "js", version=5, messages=[["hello", 2]])
    assert told == {"got": [["hello", 2]]}
    assert broker.clients() == ["fleet/js"]


@pytest.fixture
def strict(lab):
    """A broker that lets in one user with one password."""
    path = f"{lab.folder}/passwords"
    command = ["mosquitto_passwd", "-b", "-c", path, "fleet", "right"]
    subprocess.run(command, check=True, capture_output=True)
    return lab.mosquitto(extra=f"allow_anonymous false\npassword_file {path}\n")


def users(broker):
    return re.findall(r"as \S+ \(p\d, c\d, k\d+, u'(\S+)'\)", broker.output())


@pytest.mark.parametrize("version", [V31, V311, V5], ids=["3.1", "3.1.1", "5"])
def test_a_user_name_and_password_are_put_in_or_replaced(lab, strict, version):
    login = "mqtt on; mqtt_set_connect username fleet; mqtt_set_connect password right;"
    _balancer, port = lab.in_front(strict, more=login)
    with Client(port, "without", version=version) as client:
        client.publish("t", b"x", qos=1)
    with Client(port, "with", version=version, username="mallory") as client:
        client.publish("t", b"x", qos=1)
    with pytest.raises(RefusedError):
        Client(strict.port, "directly", version=version, username="mallory")
    wait_until(lambda: users(strict) == ["fleet", "fleet"], "both are the user that was set")


def test_a_will_of_20_kib_and_what_comes_behind_are_kept(lab):
    broker = lab.mosquitto()
    more = "mqtt on; mqtt_set_connect clientid device;"
    _balancer, port = lab.in_front(broker, more=more)
    will = ("gone", b"w" * 20_000, 1, False)
    with Client(broker.port, "reader", version=V5) as reader:
        reader.subscribe("gone", 1)
        with Client(port, "x", version=V5, will=will) as client:
            client.publish("gone", b"not yet", qos=1)
            client.vanish()
            assert [reader.receive().payload for _ in range(2)] == [b"not yet", will[1]]
    assert broker.clients() == ["reader", "device"]
