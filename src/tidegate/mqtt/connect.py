"""What a CONNECT says (MQTT 3.1.1 and 5, section 3.1), and where in the packet it says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tidegate.mqtt.properties import Property
from tidegate.mqtt.version import MQTT_5, MQTT_31, MQTT_311, VERSIONS

if TYPE_CHECKING:
    from tidegate.mqtt.properties import Properties

# The bits of the connect flags.
RESERVED = 0x01
CLEAN_START = 0x02
WILL = 0x04
WILL_QOS = 0x18
WILL_RETAIN = 0x20
PASSWORD = 0x40
USERNAME = 0x80

# The connect flags stand so many bytes behind the fixed header: protocol name and level come first.
FLAGS_BEHIND = {MQTT_31: 9, MQTT_311: 7, MQTT_5: 7}

# mosquitto sets it in the protocol level of its bridges; nodes that know it treat them as such.
BRIDGE = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """The will message; its payload spans `packet[payload_at:payload_end]` of the CONNECT."""

    topic: str
    qos: int
    retain: bool
    payload_at: int
    payload_end: int
    properties: Properties


class Connect(NamedTuple):
    """One CONNECT, found to be what its version's specification allows.

    `version` is 3, 4 (3.1.1) or 5; `keepalive` is in seconds, 0 for none. The fields of the payload
    follow each other: client identifier, will, user name and password span from their own offset to
    the next one, the last to the end of `packet`; what was not sent spans nothing.

    What a property accessor returns is what was sent: None where the client left it out, or speaks
    MQTT 3; what that means stands beside it.
    """

    packet: bytes  # it holds the password
    version: int
    flags_at: int
    keepalive: int
    properties: Properties  # may hold authentication data
    client_id: str
    client_id_at: int
    will: Will | None
    will_at: int
    username: str | None
    username_at: int
    password_at: int

    def __repr__(self) -> str:
        """Who it is, and nothing that is secret."""
        return f"<CONNECT of MQTT {VERSIONS[self.version]} by {self.client_id!r}>"

    @property
    def flags(self) -> int:
        """The connect flags as they were sent."""
        return self.packet[self.flags_at]

    @property
    def body_at(self) -> int:
        """Where the fixed header ends."""
        return self.flags_at - FLAGS_BEHIND[self.version]

    @property
    def clean_start(self) -> bool:
        """Clean Start; Clean Session before MQTT 5."""
        return bool(self.flags & CLEAN_START)

    @property
    def bridge(self) -> bool:
        """Whether another broker connects as a bridge (a habit of mosquitto, in no standard)."""
        return bool(self.packet[self.flags_at - 1] & BRIDGE)

    @property
    def has_password(self) -> bool:
        """Whether a password was sent; it may be empty."""
        return self.password_at < len(self.packet)

    @property
    def password(self) -> bytes | None:
        """The password without its length."""
        return self.packet[self.password_at + 2 :] if self.has_password else None

    @property
    def will_payload(self) -> bytes | None:
        """The payload of the will message."""
        will = self.will
        return None if will is None else self.packet[will.payload_at : will.payload_end]

    @property
    def session_expiry(self) -> int | None:
        """Seconds that the session outlives the connection: None is 0, 0xFFFFFFFF for ever."""
        return self.properties.number(Property.SESSION_EXPIRY_INTERVAL)

    @property
    def receive_maximum(self) -> int | None:
        """How many QoS 1 and 2 messages the client takes at once; None is 65,535."""
        return self.properties.number(Property.RECEIVE_MAXIMUM)

    @property
    def maximum_packet_size(self) -> int | None:
        """Bytes of the largest packet that the client takes; None is any."""
        return self.properties.number(Property.MAXIMUM_PACKET_SIZE)

    @property
    def topic_alias_maximum(self) -> int | None:
        """The highest topic alias that the client takes; None is 0."""
        return self.properties.number(Property.TOPIC_ALIAS_MAXIMUM)

    @property
    def request_response_information(self) -> int | None:
        """1 where the client asks for Response Information; None is 0."""
        return self.properties.number(Property.REQUEST_RESPONSE_INFORMATION)

    @property
    def request_problem_information(self) -> int | None:
        """0 where the client wants reasons in CONNACK and DISCONNECT at most; None is 1."""
        return self.properties.number(Property.REQUEST_PROBLEM_INFORMATION)

    @property
    def user_properties(self) -> tuple[tuple[str, str], ...]:
        """Names and values as sent: in order, each as often as it came."""
        return self.properties.user

    @property
    def authentication_method(self) -> str | None:
        """The method of enhanced authentication; None: there is none, and no AUTH will come."""
        return self.properties.text(Property.AUTHENTICATION_METHOD)

    @property
    def authentication_data(self) -> bytes | None:
        """Data for the authentication method."""
        return self.properties.data(Property.AUTHENTICATION_DATA)
