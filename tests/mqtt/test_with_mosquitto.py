"""What mosquitto's client and broker send is read; what we rewrite the broker takes."""

from __future__ import annotations

import subprocess

import pytest

from lab.sockets import open_raw
from mqtt.capture import PATIENCE, first_packet, listener
from mqtt.samples import LIMIT, WILL, connect
from tidegate.mqtt.connack import parse_connack
from tidegate.mqtt.fixed_header import Need
from tidegate.mqtt.parse_connect import parse_connect
from tidegate.mqtt.properties import Property
from tidegate.mqtt.reason_codes import ReturnCode
from tidegate.mqtt.rewrite import rewrite

pytestmark = pytest.mark.needs("mosquitto")
versions = pytest.mark.parametrize(("name", "version"), [("31", 3), ("311", 4), ("5", 5)])


def sent(*options):
    """What mosquitto_pub says first."""
    with listener() as sock:
        port = str(sock.getsockname()[1])
        command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", port, "-t", "t", "-m", "m", *options]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as client:
            try:
                return first_packet(sock)
            finally:
                client.kill()
                client.communicate(timeout=PATIENCE)


@versions
def test_its_client_is_read(name, version):
    found = sent("-V", f"mqttv{name}", "-i", "gerät", "-k", "77", "-u", "user", "-P", "secret")
    assert (found.version, found.client_id, found.keepalive) == (version, "gerät", 77)
    assert (found.username, found.password) == ("user", b"secret")
    assert found.will is None
    assert not found.bridge


@versions
def test_its_wills_are_read(name, version):
    found = sent(
        *("-V", f"mqttv{name}", "-i", "c", "-c"),
        *("--will-topic", "gone", "--will-payload", "x" * 5000, "--will-qos", "1", "--will-retain"),
    )
    assert not found.clean_start
    assert (found.version, found.will.topic, found.will.qos) == (version, "gone", 1)
    assert found.will.retain
    assert found.will_payload == b"x" * 5000


def test_its_properties_are_read():
    found = sent(
        *("-V", "mqttv5", "-i", "c", "--will-topic", "gone"),
        *("-D", "connect", "session-expiry-interval", "3600"),
        *("-D", "connect", "maximum-packet-size", "4096"),
        *("-D", "connect", "user-property", "k", "v1"),
        *("-D", "connect", "user-property", "k", "v2"),
        *("-D", "will", "will-delay-interval", "5"),
    )
    assert found.session_expiry == 3600
    assert found.maximum_packet_size == 4096
    assert found.user_properties == (("k", "v1"), ("k", "v2"))
    assert found.will.properties.number(Property.WILL_DELAY_INTERVAL) == 5


def answer(broker, packet, *, version):
    """What the broker answers to a CONNECT."""
    with open_raw(broker.port) as sock:
        sock.sendall(packet)
        data = b""
        while isinstance(found := parse_connack(data, version=version, limit=LIMIT), Need):
            piece = sock.recv(found.size - len(data))
            assert piece, f"the broker ended after {data!r}"
            data += piece
        return found


@versions
def test_it_takes_rewritten_packets(lab, name, version):
    broker = lab.mosquitto()
    original = parse_connect(connect(version, will=WILL), limit=LIMIT)
    packet = rewrite(original, client_id=f"serial-{name}", username="u", password="p" * 200)
    found = answer(broker, packet, version=version)
    assert (found.version, found.code, found.session_present) == (version, 0, False)
    broker.wait_until(lambda: broker.clients() == [f"serial-{name}"], "the new identifier")


@pytest.mark.parametrize("version", [4, 5])
def test_its_session_present_is_read(lab, version):
    broker = lab.mosquitto()
    properties = b"\x11\0\0\0\x3c" if version == 5 else b""
    packet = connect(version, flags=0, properties=properties)
    assert not answer(broker, packet, version=version).session_present
    assert answer(broker, packet, version=version).session_present


def test_the_identifier_that_it_assigns_is_read(lab):
    broker = lab.mosquitto()
    found = answer(broker, connect(5, b""), version=5)
    assert found.assigned_client_id
    broker.wait_until(lambda: broker.clients() == [found.assigned_client_id], "its identifier")


@pytest.mark.parametrize(("version", "code"), [(3, 5), (4, 5), (5, 0x87)])
def test_its_refusals_are_read(lab, version, code):
    broker = lab.mosquitto(extra="allow_anonymous false\n")
    found = answer(broker, connect(version), version=version)
    assert (found.version, found.code) == (version, code)


def test_its_refusal_of_a_lost_session_is_read(lab):
    found = answer(lab.mosquitto(), connect(4, b"", flags=0), version=4)
    assert found.code == ReturnCode.IDENTIFIER_REJECTED
