"""The variables that MQTT gives: `$mqtt_…`, from a session's CONNECT and CONNACK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.mqtt.version import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidegate.mqtt.connack import Connack
    from tidegate.mqtt.connect import Connect
    from tidegate.stream.mqtt_session import MqttPhases

USER_PROPERTY = "mqtt_user_property_"

OF_CONNECT: Mapping[str, Callable[[Connect], str | None]] = {
    "mqtt_preread_clientid": lambda connect: connect.client_id,
    "mqtt_preread_username": lambda connect: connect.username,
    "mqtt_protocol_version": lambda connect: VERSIONS[connect.version],
    "mqtt_keepalive": lambda connect: str(connect.keepalive),
    "mqtt_clean_start": lambda connect: "1" if connect.clean_start else "0",
    "mqtt_session_expiry": lambda connect: (
        None if connect.session_expiry is None else str(connect.session_expiry)
    ),
    "mqtt_will_topic": lambda connect: None if connect.will is None else connect.will.topic,
}

OF_CONNACK: Mapping[str, Callable[[Connack], str | None]] = {
    "mqtt_connack_code": lambda connack: str(connack.code),
    "mqtt_session_present": lambda connack: "1" if connack.session_present else "0",
    "mqtt_assigned_clientid": lambda connack: connack.assigned_client_id,
}

NAMES = frozenset({*OF_CONNECT, *OF_CONNACK, "mqtt_set_clientid"})


def read(name: str, connect: Connect, session: MqttPhases) -> str | None:
    """The value of a variable; None where the packets do not have it."""
    if name in OF_CONNECT:
        return OF_CONNECT[name](connect)
    if name in OF_CONNACK:
        return None if session.connack is None else OF_CONNACK[name](session.connack)
    if name == "mqtt_set_clientid":
        return session.set_client_id
    return _user_property(name.removeprefix(USER_PROPERTY), connect)


def _user_property(wanted: str, connect: Connect) -> str | None:
    """The first user property of that name; `_` in a variable's name stands for `-` too."""
    for name, value in connect.user_properties:
        if name.lower().replace("-", "_") == wanted.lower():
            return value
    return None
