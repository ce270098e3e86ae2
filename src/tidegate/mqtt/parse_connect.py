"""Reading a CONNECT as a server has to (MQTT 3.1, 3.1.1 and 5; section 3.1 of each).

What is left to the node to judge, because it is about meaning and not about form: an empty or a
long client identifier, the will topic, control characters other than U+0000.

The outcome for some bytes does not depend on how they come in pieces: what is read before the
packet is complete is decided by those bytes alone.
"""

from __future__ import annotations

from tidegate.mqtt import connect as flag
from tidegate.mqtt.connect import BRIDGE, FLAGS_BEHIND, Connect, Will
from tidegate.mqtt.errors import Fault, MqttError, malformed
from tidegate.mqtt.fields import read_binary, read_text
from tidegate.mqtt.fixed_header import (
    Data,
    FixedHeader,
    Need,
    PacketType,
    length_is_minimal,
    parse_fixed_header,
)
from tidegate.mqtt.properties import (
    NO_PROPERTIES,
    OF_CONNECT,
    OF_WILL,
    Property,
    parse_properties,
)
from tidegate.mqtt.version import MQTT_5, MQTT_31

CONNECT = 0x10  # the type, and flags that must be 0

# Protocol name, level, flags, keep alive and the length of the client identifier: 3.1.1 has the
# shortest. In 3.1 it reaches to the end of the keep alive.
MIN_BODY = 6 + 1 + 1 + 2 + 2

# Protocol names with their lengths, and which levels each may go with.
LEVELS = {b"\0\4MQTT": (4, 5), b"\0\6MQIsdp": (3,)}
BEHIND_LEVEL = 3  # bytes of flags and keep alive
LENGTH = 2  # bytes in front of a string
HEAD = 7  # bytes of protocol name and level in all but 3.1
HEADS = frozenset({b"\0\4MQTT\4", b"\0\4MQTT\5"})

# What else comes to an MQTT port by mistake, by its first byte.
LOOKS_LIKE = {
    0x0D: "a PROXY protocol header",
    0x16: "a TLS handshake",
    ord("G"): "an HTTP request",
    ord("P"): "a PROXY protocol header or an HTTP request",
}


def parse_connect(data: Data, *, limit: int, ended: bool = False) -> Connect | Need:
    """Read the CONNECT that `data` begins with; what follows it is left alone.

    `limit` is the most bytes that the packet may have, `ended` tells that no more will come after
    `data`. Raises MqttError: not_connect, unsupported_version, malformed, oversize or truncated;
    its `version` is the one to answer in, if any.
    """
    if data and data[0] != CONNECT:
        raise _not_connect(data[0])
    header = parse_fixed_header(data, limit=limit)
    if isinstance(header, Need):
        return _wait(data, header, ended=ended)
    version = _version(data, header)
    if header.end > len(data) or not version:
        return _wait(data, Need(header.end), ended=ended)
    packet = bytes(data[: header.end])
    try:
        return _parse(packet, header, version)
    except MqttError as error:
        error.version = version
        if version == MQTT_5:
            error.maximum_packet_size = _maximum_packet_size(packet, header)
        raise


def _wait(data: Data, need: Need, *, ended: bool) -> Need:
    if ended:
        message = f"the client ended after {len(data)} of at least {need.size} bytes"
        raise MqttError(Fault.TRUNCATED, message)
    return need


def _not_connect(first: int) -> MqttError:
    message = f"the first byte is 0x{first:02X}, not the 0x10 of a CONNECT"
    if first in LOOKS_LIKE:
        message += f": it looks like {LOOKS_LIKE[first]}"
    elif first >> 4 > PacketType.CONNECT:
        message += f": it could be {PacketType(first >> 4).name}"
    return MqttError(Fault.NOT_CONNECT, message)


def _version(data: Data, header: FixedHeader) -> int:
    """The protocol level without the bridge bit; 0 while the bytes up to it are not there."""
    at, end = header
    if end - at < MIN_BODY:
        raise malformed(
            f"a CONNECT of {end - at} bytes behind its length, {MIN_BODY} are the least"
        )
    head = bytes(data[at : at + HEAD])
    if head in HEADS:
        return head[-1]
    if len(head) < LENGTH:
        return 0
    size = LENGTH + (head[0] << 8 | head[1])
    if all(size != len(name) for name in LEVELS):
        message = f"a protocol name of {size - LENGTH} bytes, neither MQTT nor MQIsdp"
        raise MqttError(Fault.UNSUPPORTED_VERSION, message)
    name = bytes(data[at : at + size])
    if len(data) - at <= size:
        return 0
    level = data[at + size]
    version = level & ~BRIDGE
    if version in LEVELS.get(name, ()):
        return version
    raise _unsupported(name, level)


def _unsupported(name: bytes, level: int) -> MqttError:
    """The error for a protocol that is none of ours, with the nearest version to answer in."""
    answer = None
    if name in LEVELS:
        answer = max(LEVELS[name][0], min(level, LEVELS[name][-1]))
    message = f"protocol {name[LENGTH:]!r} level {level}, known are MQTT 4 and 5, MQIsdp 3"
    return MqttError(Fault.UNSUPPORTED_VERSION, message, version=answer)


def _parse(packet: bytes, header: FixedHeader, version: int) -> Connect:
    flags_at = header.body + FLAGS_BEHIND[version]
    end = len(packet)
    properties = NO_PROPERTIES
    will = username = None
    flags = packet[flags_at]
    if flags & ~flag.CLEAN_START:
        _check_flags(flags, version)
    at = flags_at + BEHIND_LEVEL
    if version == MQTT_5:
        if not length_is_minimal(packet, header):
            raise malformed("the remaining length is written with more bytes than needed")
        properties, at = parse_properties(packet, at, end, OF_CONNECT)
    client_id_at = at
    client_id, at = read_text(packet, at, end, "the client identifier")
    will_at = at
    if flags & flag.WILL:
        will, at = _parse_will(packet, at, flags, version)
    username_at = at
    if flags & flag.USERNAME and not (version == MQTT_31 and at == end):
        username, at = read_text(packet, at, end, "the user name")
    password_at = at
    if flags & flag.PASSWORD and not (version == MQTT_31 and at == end):
        _, at = read_binary(packet, at, end, "the password")
    if at != end:
        raise malformed(f"{end - at} bytes inside the packet behind its last field")
    keepalive = packet[flags_at + 1] << 8 | packet[flags_at + 2]
    return Connect(
        packet,
        version,
        flags_at,
        keepalive,
        properties,
        client_id,
        client_id_at,
        will,
        will_at,
        username,
        username_at,
        password_at,
    )


def _maximum_packet_size(packet: bytes, header: FixedHeader) -> int | None:
    """What a CONNECT of MQTT 5 that is malformed elsewhere says of it; None: nothing readable."""
    at = header.body + FLAGS_BEHIND[MQTT_5] + BEHIND_LEVEL
    try:
        properties, _ = parse_properties(packet, at, len(packet), OF_CONNECT)
    except MqttError:
        return None
    return properties.number(Property.MAXIMUM_PACKET_SIZE)


def _check_flags(flags: int, version: int) -> None:
    """MQTT 3.1 has the bits but does not demand that unused ones are 0; nor do its brokers."""
    if version != MQTT_5 and flags & (flag.USERNAME | flag.PASSWORD) == flag.PASSWORD:
        raise malformed("a password without a user name")
    if flags & flag.WILL:
        if flags & flag.WILL_QOS == flag.WILL_QOS:
            raise malformed("the will has QoS 3")
    elif flags & (flag.WILL_QOS | flag.WILL_RETAIN) and version != MQTT_31:
        raise malformed("QoS or retain of a will, but there is no will")
    if flags & flag.RESERVED and version != MQTT_31:
        raise malformed("the reserved connect flag is set")


def _parse_will(packet: bytes, at: int, flags: int, version: int) -> tuple[Will, int]:
    end = len(packet)
    properties = NO_PROPERTIES
    if version == MQTT_5:
        properties, at = parse_properties(packet, at, end, OF_WILL)
    topic, at = read_text(packet, at, end, "the will topic")
    _, payload_end = read_binary(packet, at, end, "the will payload")
    will = Will(
        topic=topic,
        qos=(flags & flag.WILL_QOS) >> 3,
        retain=bool(flags & flag.WILL_RETAIN),
        payload_at=at + 2,
        payload_end=payload_end,
        properties=properties,
    )
    return will, payload_end
