"""The addresses of one configuration, and the servers that share each of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tidegate.stream.mqtt_session import MqttSession
from tidegate.stream.passing import Door
from tidegate.stream.preread import PrereadSession
from tidegate.stream.server import Port
from tidegate.stream.session import Session
from tidegate.variables.server_names import REGEX, Names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tidegate.config import model
    from tidegate.stream.server import Server


def shared_addresses(stream: model.Stream) -> frozenset[str]:
    """The addresses, as text, that more servers than one listen on."""
    counts = Counter(listen.address.text for one in stream.servers for listen in one.listens)
    return frozenset(text for text, count in counts.items() if count > 1)


def asks_name(server: model.Server, shared: frozenset[str]) -> bool:
    """Whether it matters, somewhere, which name the clients of a server ask for.

    An expression may tell variables by it.
    """
    return not shared.isdisjoint(server.default_for) or _matches(server)


def _matches(server: model.Server) -> bool:
    return any(name.startswith(REGEX) for name in server.names)


def ports_of(servers: Iterable[tuple[model.Server, Server]]) -> tuple[tuple[str, Port], ...]:
    """Every address with the port that its clients come to."""
    found: dict[str, list[tuple[model.Listen, model.Server, Server]]] = {}
    for one, server in servers:
        for listen in one.listens:
            found.setdefault(listen.address.text, []).append((listen, one, server))
    return tuple((text, _port(text, here)) for text, here in found.items())


def _port(text: str, here: list[tuple[model.Listen, model.Server, Server]]) -> Port:
    listen, first, server = next((one for one in here if text in one[1].default_for), here[0])
    port = Port(server, listen, _kind_of(server))
    if len(here) == 1 and not _matches(first):
        return port
    if not listen.ssl and not server.ssl_preread:
        return port  # nobody can ask for another
    port.names = Names(
        [
            (one.names, port if other is server else _other(listen, other, port))
            for _listen, one, other in here
        ],
        port,
    )
    return port


def _other(listen: model.Listen, server: Server, default: Port) -> Port:
    """The port of a server that clients come to by its name."""
    looks = server.ssl_preread or default.server.ssl_preread
    return Port(server, listen, _kind_of(server, looks=looks), default=default)


def _kind_of(server: Server, *, looks: bool = False) -> type[Session]:
    """What the server's sessions are: it depends on what they look into."""
    if server.mqtt is not None:
        return MqttSession
    return PrereadSession if server.ssl_preread or looks else Session


def door_of(port: Port) -> Door:
    """Where the connections of a port begin."""
    server = port.server
    return Door(
        port.session,
        {
            "asks_accept": port.asks_accept,
            "header_timeout_ms": server.header_timeout_ms if port.proxy_protocol else 0,
            "preread_size": server.preread_size,
            "preread_timeout_ms": server.preread_timeout_ms,
            "tls": port.tls,
        },
    )
