"""CONNACK, the answer to CONNECT (section 3.2): reading a node's, writing ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidegate.mqtt.errors import Fault, MqttError, malformed
from tidegate.mqtt.fixed_header import Data, Need, PacketType, encode_length, parse_fixed_header
from tidegate.mqtt.properties import (
    NO_PROPERTIES,
    OF_CONNACK,
    Property,
    encode_properties,
    parse_properties,
)
from tidegate.mqtt.version import MQTT_5, MQTT_31, MQTT_311

if TYPE_CHECKING:
    from tidegate.mqtt.properties import Properties

CONNACK = 0x20  # the type, and flags that must be 0
SESSION_PRESENT = 0x01
PLAIN = 2  # bytes of a body without properties: acknowledge flags and code


@dataclass(frozen=True, slots=True, kw_only=True)
class Connack:
    """A node's answer. `code` is 0 for yes; else see `reason_codes`.

    `version` is 5 only if the answer is in MQTT 5: an older node answers a CONNECT of MQTT 5 in its
    own words. `size` is how many bytes the packet takes.
    """

    version: int
    session_present: bool
    code: int
    properties: Properties = field(repr=False)  # may hold authentication data
    size: int

    @property
    def assigned_client_id(self) -> str | None:
        """The client identifier that the node gave to a client without one."""
        return self.properties.text(Property.ASSIGNED_CLIENT_IDENTIFIER)

    @property
    def server_keepalive(self) -> int | None:
        """Seconds that the client has to use instead of its own keep alive."""
        return self.properties.number(Property.SERVER_KEEP_ALIVE)

    @property
    def server_reference(self) -> str | None:
        """Other servers to use, by convention `host:port` with spaces between them."""
        return self.properties.text(Property.SERVER_REFERENCE)

    @property
    def reason_string(self) -> str | None:
        """The node's words for people."""
        return self.properties.text(Property.REASON_STRING)

    @property
    def session_expiry(self) -> int | None:
        """Seconds that the node keeps the session instead of what the client asked for."""
        return self.properties.number(Property.SESSION_EXPIRY_INTERVAL)


def parse_connack(data: Data, *, version: int, limit: int) -> Connack | Need:
    """Read the CONNACK that `data` begins with, the answer to a CONNECT of `version` 3, 4 or 5.

    `limit` is the most bytes that the packet may have. Raises MqttError: unexpected for a packet of
    another type, malformed or oversize.
    """
    if data and data[0] != CONNACK:
        if data[0] >> 4 == PacketType.CONNACK:
            raise malformed(f"a CONNACK with the flags {data[0] & 0x0F}")
        raise MqttError(Fault.UNEXPECTED, f"0x{data[0]:02X} came where a CONNACK begins with 0x20")
    header = parse_fixed_header(data, limit=limit)
    if isinstance(header, Need):
        return header
    at, end = header
    if end - at < PLAIN or (end - at > PLAIN and version != MQTT_5):
        raise malformed(f"a CONNACK with {end - at} bytes behind its length")
    if end > len(data):
        return Need(end)
    packet = bytes(data[:end])
    flags, code = packet[at], packet[at + 1]
    if flags > SESSION_PRESENT and version != MQTT_31:
        raise malformed(f"a CONNACK with the acknowledge flags 0x{flags:02X}")
    properties = NO_PROPERTIES
    if end - at == PLAIN:
        version = min(version, MQTT_311)
    else:
        properties, at = parse_properties(packet, at + 2, end, OF_CONNACK)
        if at != end:
            raise malformed(f"{end - at} bytes in a CONNACK behind its properties")
    present = version != MQTT_31 and bool(flags & SESSION_PRESENT)
    return Connack(
        version=version, session_present=present, code=code, properties=properties, size=end
    )


def encode_connack(
    version: int, code: int, *, reason_string: str | None = None, max_packet: int | None = None
) -> bytes:
    """A CONNACK that refuses: `code` as `reason_codes.code_for` gives it for `version`.

    The reason string goes out in MQTT 5 only, and only where the packet then stays within the
    client's `max_packet` bytes (None: any number). A client that takes less than the bare packet is
    told nothing: b"". Raises MqttError (value) for a reason string that is none.
    """
    if version != MQTT_5:
        return bytes([CONNACK, PLAIN, 0, code])
    for text in dict.fromkeys((reason_string, None)):
        body = bytes([0, code]) + encode_properties({Property.REASON_STRING: text})
        packet = bytes([CONNACK]) + encode_length(len(body)) + body
        if max_packet is None or len(packet) <= max_packet:
            return packet
    return b""
