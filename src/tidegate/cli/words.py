"""How balancing methods and MQTT are named where a configuration is summed up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.model import Hash, IpHash, LeastConn, Random

if TYPE_CHECKING:
    from tidegate.config.model import Method, Server


def method_words(method: Method) -> str:
    """A method as its directive; "" for round robin, which has none."""
    match method:
        case Hash():
            return f"hash {method.key}{' consistent' if method.consistent else ''}"
        case IpHash():
            return "ip_hash"
        case LeastConn():
            return "least_conn"
        case Random():
            return "random two" if method.two else "random"
        case _:
            return ""


def mqtt_words(server: Server) -> str:
    """The directives that make a server look into MQTT, `mqtt_preread, mqtt`; "" for none."""
    mqtt = server.mqtt
    if mqtt is None:
        return ""
    words = {
        "mqtt_preread": mqtt.preread,
        "mqtt": mqtt.rewrite,
        "mqtt_next_upstream": mqtt.next_upstream is not None,
        "mqtt_require": mqtt.require,
    }
    return ", ".join(word for word, on in words.items() if on)
