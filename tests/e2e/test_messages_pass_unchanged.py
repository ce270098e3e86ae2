"""Whatever MQTT can say passes through the balancer, in both versions."""

import hashlib
import os

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from lab.clients import V5, V311, Client, mosquitto_pub

pytestmark = pytest.mark.needs("mosquitto")

MIB = 1 << 20


@pytest.fixture(params=[V311, V5], ids=["mqtt-3.1.1", "mqtt-5"])
def version(request):
    return request.param


@pytest.fixture
def port(lab):
    return lab.in_front(lab.mosquitto())[1]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_quality_of_service_arrives_once(port, version, qos):
    with (
        Client(port, "reader", version=version) as reader,
        Client(port, "writer", version=version) as writer,
    ):
        reader.subscribe("a/#", qos)
        for number in range(20):
            writer.publish("a/b", f"{number}", qos=qos)
        got = [reader.receive() for _ in range(20)]
        assert [int(message.payload) for message in got] == list(range(20))
        assert {message.qos for message in got} == {qos}
        assert reader.messages.empty()


def test_a_retained_message_greets_a_later_subscriber(port, version):
    with Client(port, "writer", version=version) as writer:
        writer.publish("state", b"on", qos=1, retain=True)
    with Client(port, "reader", version=version) as reader:
        reader.subscribe("state", 1)
        message = reader.receive()
        assert (message.payload, message.retain) == (b"on", True)


def test_a_will_is_published_when_its_client_vanishes(port, version):
    will = ("gone", b"device-1", 1, False)
    with Client(port, "reader", version=version) as reader:
        reader.subscribe("gone", 1)
        with Client(port, "device-1", version=version, will=will) as device:
            device.vanish()
            assert reader.receive().payload == b"device-1"


def test_no_will_is_published_after_a_disconnect(port, version):
    will = ("gone", b"device-1", 1, False)
    with Client(port, "reader", version=version) as reader:
        reader.subscribe("gone", 1)
        Client(port, "device-1", version=version, will=will).close()
        with Client(port, "device-2", version=version) as later:
            later.publish("gone", b"nothing before this", qos=1)
        assert reader.receive().payload == b"nothing before this"


@pytest.mark.parametrize("qos", [0, 2])
def test_a_mebibyte_goes_both_ways(port, version, qos):
    payloads = [os.urandom(MIB) for _ in range(3)]
    with Client(port, "both", version=version) as client:
        client.subscribe("big", qos)
        for payload in payloads:
            client.publish("big", payload, qos=qos)
        got = [client.receive().payload for _ in payloads]
    assert [_digest(data) for data in got] == [_digest(data) for data in payloads]


def test_mqtt_5_properties_pass(port):
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("k", "1"), ("k", "2")]
    properties.ResponseTopic = "answer"
    properties.CorrelationData = b"\x00\x01"
    with Client(port, "v5", version=V5) as client:
        client.subscribe("p", 1)
        client.publish("p", b"x", qos=1, properties=properties)
        got = client.receive().properties
    assert got.UserProperty == [("k", "1"), ("k", "2")]
    assert (got.ResponseTopic, got.CorrelationData) == ("answer", b"\x00\x01")


@pytest.mark.parametrize("spoken", ["mqttv31", "mqttv311", "mqttv5"])
def test_another_client_is_served_too(port, spoken):
    with Client(port, "reader") as reader:
        reader.subscribe("other", 2)
        mosquitto_pub(port, "other", b"hello", version=spoken, qos=2)
        assert reader.receive().payload == b"hello"


def _digest(data):
    return hashlib.sha256(data).hexdigest()
