"""DISCONNECT (section 3.14), with which either side of MQTT 5 says why it closes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidegate.mqtt.errors import Fault, MqttError, malformed
from tidegate.mqtt.fixed_header import Data, Need, encode_length, parse_fixed_header
from tidegate.mqtt.properties import (
    NO_PROPERTIES,
    OF_DISCONNECT,
    Property,
    encode_properties,
    parse_properties,
)
from tidegate.mqtt.reason_codes import Reason
from tidegate.mqtt.version import MQTT_5

if TYPE_CHECKING:
    from tidegate.mqtt.properties import Properties

DISCONNECT = 0xE0  # the type, and flags that must be 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """A DISCONNECT of `size` bytes; its `code` is 0 where none was sent, as always in MQTT 3."""

    code: int
    properties: Properties
    size: int

    @property
    def reason_string(self) -> str | None:
        """The sender's words for people."""
        return self.properties.text(Property.REASON_STRING)

    @property
    def server_reference(self) -> str | None:
        """Other servers to use, by convention `host:port` with spaces between them."""
        return self.properties.text(Property.SERVER_REFERENCE)


def parse_disconnect(data: Data, *, version: int, limit: int) -> Disconnect | Need:
    """Read the DISCONNECT that `data` begins with, of a session of `version` 3, 4 or 5.

    `limit` is the most bytes that the packet may have. Raises MqttError: unexpected for a packet of
    another type, malformed or oversize.
    """
    if data and data[0] != DISCONNECT:
        raise MqttError(Fault.UNEXPECTED, f"0x{data[0]:02X} is not the 0xE0 of a DISCONNECT")
    header = parse_fixed_header(data, limit=limit)
    if isinstance(header, Need):
        return header
    at, end = header
    if end > at and version != MQTT_5:
        raise malformed("a DISCONNECT of MQTT 3 with a body")
    if end > len(data):
        return Need(end)
    packet = bytes(data[:end])
    code, properties = int(Reason.SUCCESS), NO_PROPERTIES
    if at < end:
        code = packet[at]
        at += 1
    if at < end:
        properties, at = parse_properties(packet, at, end, OF_DISCONNECT)
    if at != end:
        raise malformed(f"{end - at} bytes in a DISCONNECT behind its properties")
    return Disconnect(code=code, properties=properties, size=end)


def encode_disconnect(
    version: int,
    code: int,
    *,
    reason_string: str | None = None,
    server_reference: str | None = None,
    max_packet: int | None = None,
) -> bytes:
    """A server's DISCONNECT; b"" where the client cannot be told: MQTT 3 has none from a server.

    Beyond the client's `max_packet` bytes (None: any number) first the reason string is left out,
    then the server reference. Raises MqttError (value) for texts that are none.
    """
    if version != MQTT_5:
        return b""
    for reason, reference in dict.fromkeys(
        ((reason_string, server_reference), (None, server_reference), (None, None))
    ):
        packet = _encode(code, reason, reference)
        if max_packet is None or len(packet) <= max_packet:
            return packet
    return b""


def _encode(code: int, reason_string: str | None, server_reference: str | None) -> bytes:
    body = bytes([code])
    if reason_string is not None or server_reference is not None:
        body += encode_properties(
            {Property.REASON_STRING: reason_string, Property.SERVER_REFERENCE: server_reference}
        )
    elif code == Reason.SUCCESS:
        body = b""
    return bytes([DISCONNECT]) + encode_length(len(body)) + body
