"""The protocol levels, by which the versions of MQTT are told apart on the wire."""

from __future__ import annotations

from typing import Final

MQTT_31: Final = 3
MQTT_311: Final = 4
MQTT_5: Final = 5

VERSIONS: Final = {MQTT_31: "3.1", MQTT_311: "3.1.1", MQTT_5: "5"}
