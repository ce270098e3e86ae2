"""Changing what a client says about itself, byte for byte the same in all else.

Offsets of the parsed packet are reused and nothing is encoded anew but the changed fields, the
connect flags and the remaining length.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from tidegate.mqtt.connect import PASSWORD, USERNAME
from tidegate.mqtt.errors import Fault, MqttError
from tidegate.mqtt.fields import encode_binary, encode_text
from tidegate.mqtt.fixed_header import encode_length
from tidegate.mqtt.version import MQTT_5

if TYPE_CHECKING:
    from tidegate.mqtt.connect import Connect


class Keep(Enum):
    """The type of `KEEP`: leave this field as the client sent it."""

    KEEP = 0


KEEP: Final = Keep.KEEP

Kept = Literal[Keep.KEEP]


def rewrite(
    connect: Connect,
    *,
    client_id: str | Kept = KEEP,
    username: str | Kept | None = KEEP,
    password: str | bytes | Kept | None = KEEP,
) -> bytes:
    """The packet with some fields replaced; None removes one, and its flag.

    A field that the client did not send is inserted where it belongs, and its flag is set. Before
    MQTT 5 there is no password without a user name: removing the name removes the password too.
    A password of bytes is taken as it is, the protocol calls it binary data.

    Raises MqttError (value) for text that is too long, no UTF-8 or holds control characters, and
    for a password without a user name before MQTT 5. Empty text is taken as it is.
    """
    flags, old = connect.flags, connect.packet
    name = old[connect.username_at : connect.password_at]
    secret = old[connect.password_at :]
    first = old[connect.client_id_at : connect.will_at]
    if client_id is not KEEP:
        first = encode_text(client_id, "the client identifier")
    if username is not KEEP:
        flags, name = _replaced(flags, USERNAME, username, "the user name")
        if username is None and connect.version != MQTT_5 and password is KEEP:
            password = None
    if password is not KEEP:
        flags, secret = _replaced(flags, PASSWORD, password, "the password")
    if password is not KEEP and password is not None and not name and connect.version != MQTT_5:
        raise MqttError(Fault.VALUE, "MQTT 3 has no password without a user name")
    head = old[connect.body_at : connect.flags_at] + bytes([flags])
    head += old[connect.flags_at + 1 : connect.client_id_at]
    will = old[connect.will_at : connect.username_at]
    return _framed(head + first + will + name + secret, connect)


def _replaced(flags: int, bit: int, value: str | bytes | None, what: str) -> tuple[int, bytes]:
    if value is None:
        return flags & ~bit, b""
    encoded = encode_binary(value, what) if isinstance(value, bytes) else encode_text(value, what)
    return flags | bit, encoded


def _framed(body: bytes, connect: Connect) -> bytes:
    """The body with a fixed header: the client's own where the length is the same."""
    at = connect.body_at
    if len(body) == len(connect.packet) - at:
        return connect.packet[:at] + body
    return connect.packet[:1] + encode_length(len(body)) + body
