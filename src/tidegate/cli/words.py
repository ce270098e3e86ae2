"""How balancing methods and MQTT are named where a configuration is summed up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.model import Hash, IpHash, LeastConn, LeastTime, Random
from tidegate.config.model_http import HttpProxy, HttpReturn, StubStatus
from tidegate.config.parts import locations
from tidegate.wire.address import Address

if TYPE_CHECKING:
    from tidegate.config.model import Method, Pass, Server
    from tidegate.config.model_http import HttpContent, HttpServer


def method_words(method: Method) -> str:
    """A method as its directive; "" for round robin, which has none."""
    match method:
        case Hash():
            return f"hash {method.key}{' consistent' if method.consistent else ''}"
        case IpHash():
            return "ip_hash"
        case LeastConn():
            return "least_conn"
        case LeastTime():
            return f"least_time {method.by}{' inflight' if method.inflight else ''}"
        case Random():
            two = " two" if method.two else ""
            return f"random{two}{f' least_time={method.by}' if method.by else ''}"
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


def name_words(server: Server) -> str:
    """The first name of a server of stream, `mqtt.example: `; "" for one without."""
    return f"{server.names[0]}: " if server.names[0] else ""


def to_words(way: Pass) -> str:
    """Where a `pass` leads: an address, or the text that names one."""
    return way.to.text if isinstance(way.to, Address) else str(way.to)


def http_words(server: HttpServer) -> str:
    """Where the locations of a server of http lead: `/mqtt → http://broker, / → files`."""
    found = [
        f"{location.match or ''} {location.text}".strip() + f" → {_content_words(location.content)}"
        for location in locations(server)
        if location.match is not None
    ]
    name = f"{server.names[0]} " if server.names[0] else ""
    return f"{name}({', '.join(found) or _content_words(server.outside.content)})"


def _content_words(content: HttpContent) -> str:
    match content:
        case HttpProxy():
            return f"{'https' if content.secure else 'http'}://{content.upstream}"
        case HttpReturn():
            return f"return {content.status}"
        case StubStatus():
            return "stub_status"
        case _:
            return "files"
