"""The mqtt5 package, which knows MQTT 5 alone, reads and writes the same packets as we do."""

from __future__ import annotations

import mqtt5
from hypothesis import given
from hypothesis import strategies as st

from mqtt.samples import LIMIT, VALID
from tidegate.mqtt.connack import encode_connack, parse_connack
from tidegate.mqtt.disconnect import encode_disconnect, parse_disconnect
from tidegate.mqtt.errors import MqttError
from tidegate.mqtt.fixed_header import Need
from tidegate.mqtt.parse_connect import parse_connect
from tidegate.mqtt.properties import Property
from tidegate.mqtt.reason_codes import FAILURE, REFUSALS, Reason
from tidegate.mqtt.rewrite import rewrite

texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40)
users = st.lists(st.tuples(texts, texts), max_size=3)
data = st.binary(max_size=40)
topics = texts.filter(lambda text: text and not {"#", "+"} & set(text))
u16, u32 = st.integers(0, 65_535), st.integers(0, (1 << 32) - 1)


CHANGED_FIELDS = {"client_id", "username", "password"}
OTHER_FIELDS = {
    name for name in dir(mqtt5.ConnectPacket) if name[0] != "_" and name != "write"
} - CHANGED_FIELDS


def members(enumeration):
    """All members; theirs are no Python enumerations."""
    return [getattr(enumeration, name) for name in dir(enumeration) if name.isupper()]


def maybe(strategy):
    return st.one_of(st.none(), strategy)


wills = st.builds(
    mqtt5.Will,
    topics,
    payload=data,
    qos=st.sampled_from(members(mqtt5.QoS)),
    retain=st.booleans(),
    payload_format_indicator=st.integers(0, 1),
    message_expiry_interval=maybe(u32),
    content_type=maybe(texts),
    response_topic=maybe(topics),
    correlation_data=maybe(data),
    will_delay_interval=u32,
    user_properties=users,
)
connects = st.builds(
    mqtt5.ConnectPacket,
    texts,
    username=maybe(texts),
    password=maybe(data),
    clean_start=st.booleans(),
    will=maybe(wills),
    keep_alive=u16,
    session_expiry_interval=u32,
    authentication_method=texts,
    authentication_data=maybe(data),
    request_problem_info=st.booleans(),
    request_response_info=st.booleans(),
    receive_max=st.integers(1, 65_535),
    topic_alias_max=u16,
    max_packet_size=maybe(st.integers(1, (1 << 32) - 1)),
    user_properties=users,
)


def assert_same(ours, theirs):
    assert ours.client_id == theirs.client_id
    assert ours.username == theirs.username
    assert ours.password == theirs.password
    assert ours.clean_start == theirs.clean_start
    assert ours.keepalive == theirs.keep_alive
    # mqtt5 gives the specification's default for what was not sent, or was sent as that.
    assert (ours.session_expiry or 0) == theirs.session_expiry_interval
    assert (ours.receive_maximum or 65_535) == theirs.receive_max
    assert (ours.topic_alias_maximum or 0) == theirs.topic_alias_max
    assert ours.maximum_packet_size == theirs.max_packet_size
    assert (ours.request_response_information or 0) == theirs.request_response_info
    assert (ours.request_problem_information != 0) == theirs.request_problem_info
    assert ours.authentication_method == theirs.authentication_method
    assert ours.authentication_data == theirs.authentication_data
    assert list(ours.user_properties) == theirs.user_properties
    assert (ours.will is None) == (theirs.will is None)
    if ours.will is not None:
        assert_same_will(ours, theirs.will)


def assert_same_will(ours, theirs):
    will = ours.will
    assert (will.topic, will.qos, will.retain) == (theirs.topic, theirs.qos, theirs.retain)
    assert ours.will_payload == (theirs.payload or b"")
    found = will.properties
    assert (found.number(Property.PAYLOAD_FORMAT_INDICATOR) or 0) == theirs.payload_format_indicator
    assert found.number(Property.MESSAGE_EXPIRY_INTERVAL) == theirs.message_expiry_interval
    assert found.text(Property.CONTENT_TYPE) == theirs.content_type
    assert found.text(Property.RESPONSE_TOPIC) == theirs.response_topic
    assert found.data(Property.CORRELATION_DATA) == theirs.correlation_data
    assert (found.number(Property.WILL_DELAY_INTERVAL) or 0) == theirs.will_delay_interval
    assert list(found.user) == theirs.user_properties


@given(connects)
def test_what_it_writes_we_read(packet):
    assert_same(parse_connect(packet.write(), limit=LIMIT), packet)


@given(connects, texts, maybe(texts), maybe(data))
def test_what_we_rewrite_it_reads(packet, client_id, username, password):
    ours = parse_connect(packet.write(), limit=LIMIT)
    rewritten = rewrite(ours, client_id=client_id, username=username, password=password)
    theirs, size = mqtt5.read(memoryview(rewritten))
    assert size == len(rewritten)
    assert (theirs.client_id, theirs.username, theirs.password) == (client_id, username, password)
    for name in OTHER_FIELDS:
        assert getattr(theirs, name) == getattr(packet, name), name


@st.composite
def damaged(draw):
    """A packet of MQTT 5 with some bytes changed; its length stays."""
    five = [packet for name, packet in VALID.items() if name.startswith("5") and len(packet) < 300]
    packet = bytearray(draw(st.sampled_from(five)))
    for _ in range(draw(st.integers(1, 3))):
        packet[draw(st.integers(7, len(packet) - 1))] = draw(st.integers(0, 255))
    return bytes(packet)


@given(damaged())
def test_what_we_accept_it_reads_alike(packet):
    # The reverse does not hold: it takes U+0000, reserved flags and flags of no will. It knows no
    # bridges, and judges topics.
    try:
        ours = parse_connect(packet, limit=LIMIT)
    except MqttError:
        return
    assert not isinstance(ours, Need)
    if ours.version == 5 and not ours.bridge and not has_wildcard(ours.will):
        theirs, size = mqtt5.read(memoryview(packet))
        assert size == len(packet)
        assert_same(ours, theirs)


def has_wildcard(will):
    if will is None:
        return False
    return bool({"#", "+"} & {*will.topic, *(will.properties.text(Property.RESPONSE_TOPIC) or "")})


@given(
    st.builds(
        mqtt5.ConnAckPacket,
        session_present=st.booleans(),
        reason_code=st.sampled_from(members(mqtt5.ConnAckReasonCode)),
        assigned_client_id=maybe(texts),
        server_keep_alive=maybe(u16),
        server_reference=maybe(texts),
        reason_str=maybe(texts),
        session_expiry_interval=maybe(u32),
        max_qos=st.sampled_from([mqtt5.QoS.AT_MOST_ONCE, mqtt5.QoS.AT_LEAST_ONCE]),
        retain_available=st.booleans(),
        wildcard_subscription_available=st.booleans(),
        response_info=maybe(texts),
        user_properties=users,
    )
)
def test_answers_that_it_writes_we_read(packet):
    found = parse_connack(packet.write(), version=5, limit=LIMIT)
    assert (found.version, found.session_present) == (5, packet.session_present)
    assert found.code == packet.reason_code
    assert found.assigned_client_id == packet.assigned_client_id
    assert found.server_keepalive == packet.server_keep_alive
    assert found.server_reference == packet.server_reference
    assert found.reason_string == packet.reason_str
    assert found.session_expiry == packet.session_expiry_interval
    assert list(found.properties.user) == packet.user_properties


@given(st.sampled_from(members(mqtt5.ConnAckReasonCode)), maybe(texts), maybe(st.integers(5, 60)))
def test_refusals_that_we_write_it_reads(code, words, room):
    packet = encode_connack(5, int(code), reason_string=words, max_packet=room)
    found, size = mqtt5.read(memoryview(packet))
    assert size == len(packet) <= (room or LIMIT)
    assert (found.reason_code, found.session_present) == (code, False)
    assert found.reason_str in {words, None}
    assert room is not None or found.reason_str == words


@given(st.sampled_from(members(mqtt5.DisconnectReasonCode)), maybe(texts), maybe(texts))
def test_disconnects_are_read_both_ways(code, words, reference):
    packet = encode_disconnect(5, int(code), reason_string=words, server_reference=reference)
    theirs, size = mqtt5.read(memoryview(packet))
    assert size == len(packet)
    assert (theirs.reason_code, theirs.reason_str) == (code, words)
    assert theirs.server_reference == reference
    ours = parse_disconnect(theirs.write(), version=5, limit=LIMIT)
    assert (ours.code, ours.reason_string, ours.server_reference) == (code, words, reference)


def test_it_knows_the_same_codes():
    refusals = {int(code) for code in members(mqtt5.ConnAckReasonCode)} - {0}
    assert refusals == {int(code) for code in REFUSALS if code >= FAILURE}
    disconnects = {int(code) for code in members(mqtt5.DisconnectReasonCode)}
    assert refusals | disconnects == {int(code) for code in Reason}
