"""A client that cannot be served is told so in its own protocol, as soon as it is known."""

import time

import pytest

from lab import packets, sockets
from lab.clients import V5, V311, Client, RefusedError
from lab.mqttjs import mqttjs

UNAVAILABLE, BAD_CLIENT_ID = 0x88, 0x85


def refused(port, version):
    with pytest.raises(RefusedError) as error:
        Client(port, "device", version=version)
    return error.value


@pytest.fixture
def nowhere(lab):
    """The port of a balancer whose only node is not there."""
    node = lab.node()
    with node.refusing():
        yield lab.in_front(node, more="mqtt_preread on;")[1]


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
def test_paho_is_told_that_no_node_is_there(nowhere, version):
    for _ in range(2):  # a failed connect, then "no live upstreams"
        told = refused(nowhere, version)
        assert told.code == UNAVAILABLE
        assert told.text == ("no node can be reached" if version == V5 else None)


@pytest.mark.needs("mqttjs")
@pytest.mark.parametrize(("version", "code"), [(4, 3), (5, UNAVAILABLE)], ids=["3.1.1", "5"])
def test_mqtt_js_is_told_that_no_node_is_there(nowhere, version, code):
    assert mqttjs(nowhere, "device", version=version)["code"] == code


def test_a_client_whose_name_would_be_empty_is_told(lab):
    more = "mqtt on; mqtt_set_connect clientid $mqtt_preread_username;"
    _balancer, port = lab.in_front(lab.node(), more=more)
    assert refused(port, V5).code == BAD_CLIENT_ID
    assert refused(port, V311).code == BAD_CLIENT_ID  # paho's word for 2


NOT_MQTT = {
    "http": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b""),
    "publish": (packets.publish("t", b"x"), b""),
    "version 6": (
        packets.connect("x", version=6),
        b"\x20\x1e\x00\x84\x1b\x1f\x00\x18unknown protocol version",
    ),
    "version 2": (packets.connect("x", version=2), b"\x20\x02\x00\x01"),
    "malformed 5": (
        b"\x10\x0d\x00\x04MQTT\x05\xff\x00\x00\x00\x00\x00",
        b"\x20\x17\x00\x81\x14\x1f\x00\x11malformed CONNECT",
    ),
}


def test_what_is_no_connect_is_refused_at_once_where_mqtt_is_required(lab):
    node = lab.node()
    balancer, port = lab.in_front(node, more="mqtt_preread on; mqtt_require on;")
    for number, (kind, (data, expected)) in enumerate(NOT_MQTT.items(), 1):
        start = time.monotonic()
        with sockets.open_raw(port) as sock:
            sock.sendall(data)
            got = sockets.receive_all(sock)
        assert time.monotonic() - start < 15  # preread_timeout is 30 s
        assert got == expected, kind
        assert balancer.wait_sessions(number)[-1]["status"] == "400"
    assert node.accepted == 0
    assert balancer.errors().count("client sent no CONNECT") == len(NOT_MQTT)


def test_what_is_no_connect_passes_where_it_is_not(lab):
    node = lab.node()
    _balancer, port = lab.in_front(node, more="mqtt_preread on;")
    for kind, (data, _) in NOT_MQTT.items():
        with sockets.open_raw(port) as sock:
            sock.sendall(data)
            assert sockets.receive(sock, len(data)) == data, kind
