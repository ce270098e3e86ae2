"""Reason codes of CONNACK and DISCONNECT (MQTT 5, section 2.4), return codes of MQTT 3's CONNACK.

Refusals of the two never share a number: MQTT 3 uses 1 to 5, MQTT 5 uses 0x80 and above. So a plain
int says which is meant, and one set may hold both.
"""

from __future__ import annotations

from enum import IntEnum

from tidegate.mqtt.errors import Fault, MqttError
from tidegate.mqtt.version import MQTT_5

FAILURE = 0x80  # the least code of MQTT 5 that refuses


class Reason(IntEnum):
    """MQTT 5; those that CONNECT can be answered with or a DISCONNECT can bear."""

    SUCCESS = 0x00  # in a DISCONNECT: normal disconnection
    DISCONNECT_WITH_WILL_MESSAGE = 0x04
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    USE_ANOTHER_SERVER = 0x9C
    SERVER_MOVED = 0x9D
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2


class ReturnCode(IntEnum):
    """MQTT 3.1 and 3.1.1 (section 3.2.2.3)."""

    ACCEPTED = 0
    UNACCEPTABLE_PROTOCOL_VERSION = 1
    IDENTIFIER_REJECTED = 2
    SERVER_UNAVAILABLE = 3
    BAD_USER_NAME_OR_PASSWORD = 4
    NOT_AUTHORIZED = 5


# Another node would say the same, so these are never a reason to ask it.
CLIENT_FAULTS = frozenset(
    {
        Reason.UNSUPPORTED_PROTOCOL_VERSION,
        Reason.CLIENT_IDENTIFIER_NOT_VALID,
        Reason.BAD_USER_NAME_OR_PASSWORD,
        Reason.NOT_AUTHORIZED,
        Reason.BANNED,
        Reason.BAD_AUTHENTICATION_METHOD,
        ReturnCode.UNACCEPTABLE_PROTOCOL_VERSION,
        ReturnCode.IDENTIFIER_REJECTED,
        ReturnCode.BAD_USER_NAME_OR_PASSWORD,
        ReturnCode.NOT_AUTHORIZED,
    }
)

# What a CONNECT of MQTT 3 is answered where MQTT 5 knows a finer reason. What is missing has no
# answer there: the connection is closed.
RETURN_CODES = {
    Reason.SUCCESS: ReturnCode.ACCEPTED,
    Reason.UNSPECIFIED_ERROR: ReturnCode.SERVER_UNAVAILABLE,
    Reason.IMPLEMENTATION_SPECIFIC_ERROR: ReturnCode.SERVER_UNAVAILABLE,
    Reason.UNSUPPORTED_PROTOCOL_VERSION: ReturnCode.UNACCEPTABLE_PROTOCOL_VERSION,
    Reason.CLIENT_IDENTIFIER_NOT_VALID: ReturnCode.IDENTIFIER_REJECTED,
    Reason.BAD_USER_NAME_OR_PASSWORD: ReturnCode.BAD_USER_NAME_OR_PASSWORD,
    Reason.NOT_AUTHORIZED: ReturnCode.NOT_AUTHORIZED,
    Reason.SERVER_UNAVAILABLE: ReturnCode.SERVER_UNAVAILABLE,
    Reason.SERVER_BUSY: ReturnCode.SERVER_UNAVAILABLE,
    Reason.BANNED: ReturnCode.NOT_AUTHORIZED,
    Reason.SERVER_SHUTTING_DOWN: ReturnCode.SERVER_UNAVAILABLE,
    Reason.BAD_AUTHENTICATION_METHOD: ReturnCode.BAD_USER_NAME_OR_PASSWORD,
    Reason.QUOTA_EXCEEDED: ReturnCode.SERVER_UNAVAILABLE,
    Reason.USE_ANOTHER_SERVER: ReturnCode.SERVER_UNAVAILABLE,
    Reason.SERVER_MOVED: ReturnCode.SERVER_UNAVAILABLE,
    Reason.CONNECTION_RATE_EXCEEDED: ReturnCode.SERVER_UNAVAILABLE,
}

# 4 in a DISCONNECT is a client's alone, so it is no answer of a node.
_KNOWN = {code.value: code for code in (*Reason, *ReturnCode)}

# What a CONNACK may refuse with (section 3.2.2.2); the other reasons belong to a DISCONNECT.
REFUSALS = frozenset(
    {
        *(reason for reason in Reason if FAILURE <= reason <= Reason.BANNED),
        Reason.BAD_AUTHENTICATION_METHOD,
        Reason.TOPIC_NAME_INVALID,
        Reason.PACKET_TOO_LARGE,
        Reason.QUOTA_EXCEEDED,
        Reason.PAYLOAD_FORMAT_INVALID,
        Reason.RETAIN_NOT_SUPPORTED,
        Reason.QOS_NOT_SUPPORTED,
        Reason.USE_ANOTHER_SERVER,
        Reason.SERVER_MOVED,
        Reason.CONNECTION_RATE_EXCEEDED,
        *(code for code in ReturnCode if code),
    }
)


def code_for(version: int, reason: Reason) -> int | None:
    """What a CONNACK of `version` (3, 4 or 5) says for `reason`; None: close without one."""
    return reason if version == MQTT_5 else RETURN_CODES.get(reason)


def name_of(code: int) -> str:
    """What a node answered, for people: `server busy (0x89)`, `bad user name or password (4)`."""
    known = _KNOWN.get(code)
    words = "unknown" if known is None else known.name.replace("_", " ").lower()
    return f"{words} ({spelled(code)})"


def spelled(code: int) -> str:
    """A code as the specifications write it, which is also how `parse_code` reads it."""
    return f"0x{code:02X}" if code >= FAILURE else str(code)


def parse_code(text: str) -> int:
    """A refusal as a directive names it: `0x9C` for MQTT 5, `3` for MQTT 3.

    Raises MqttError (value) for what is no refusal, and says how one is written.
    """
    for code in REFUSALS:
        if text.lower() == spelled(code).lower():
            return int(code)
    message = f'"{text}" is no refusal of a CONNECT: in MQTT 5 they are written as 0x9C, in 3 as 3'
    raise MqttError(Fault.VALUE, message)
