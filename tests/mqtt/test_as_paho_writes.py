"""What paho sends is read as what paho was told."""

from __future__ import annotations

import pytest
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt.capture import first_packet, listener
from tidegate.mqtt.rewrite import rewrite

V31, V311, V5 = (
    MQTTProtocolVersion.MQTTv31,
    MQTTProtocolVersion.MQTTv311,
    MQTTProtocolVersion.MQTTv5,
)
versions = pytest.mark.parametrize("version", [V31, V311, V5])


def sent(client, **options):
    with listener() as sock:
        client.connect("127.0.0.1", sock.getsockname()[1], keepalive=77, **options)
        try:
            return first_packet(sock)
        finally:
            client.disconnect()


def paho(client_id, version):
    return Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version)


@versions
def test_a_plain_connect(version):
    found = sent(paho("gerät-1", version))
    assert (found.version, found.client_id, found.keepalive) == (version, "gerät-1", 77)
    assert found.clean_start
    assert (found.username, found.password, found.will) == (None, None, None)


@versions
def test_credentials_and_a_will(version):
    client = paho("c", version)
    client.username_pw_set("ü", "pass")
    client.will_set("gone", b"\0\xff" * 10_240, qos=2, retain=True)
    found = sent(client)
    assert (found.username, found.password) == ("ü", b"pass")
    assert (found.will.topic, found.will.qos, found.will.retain) == ("gone", 2, True)
    assert found.will_payload == b"\0\xff" * 10_240


@versions
def test_rewriting_gives_what_paho_would_have_written(version):
    told = paho("serial-42", version)
    told.username_pw_set("u", "p")
    assert rewrite(sent(paho("c", version)), client_id="serial-42", username="u", password="p") == (
        sent(told).packet
    )


def test_properties_of_5():
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    properties.ReceiveMaximum = 20
    properties.MaximumPacketSize = 4096
    properties.TopicAliasMaximum = 10
    properties.RequestResponseInformation = 1
    properties.RequestProblemInformation = 0
    properties.UserProperty = [("k", "v1"), ("k", "v2")]
    properties.AuthenticationMethod = "SCRAM"
    properties.AuthenticationData = b"\0\xff"
    will_properties = Properties(PacketTypes.WILLMESSAGE)
    will_properties.WillDelayInterval = 5
    will_properties.UserProperty = ("a", "b")
    client = paho("", V5)
    client.will_set("gone", "", properties=will_properties)
    found = sent(client, clean_start=False, properties=properties)
    assert (found.client_id, found.clean_start) == ("", False)
    assert found.session_expiry == 3600
    assert found.receive_maximum == 20
    assert found.maximum_packet_size == 4096
    assert found.topic_alias_maximum == 10
    assert (found.request_response_information, found.request_problem_information) == (1, 0)
    assert found.user_properties == (("k", "v1"), ("k", "v2"))
    assert (found.authentication_method, found.authentication_data) == ("SCRAM", b"\0\xff")
    assert found.will.properties.user == (("a", "b"),)
