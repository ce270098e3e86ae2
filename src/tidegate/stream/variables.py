"""The variables of `stream {}`: how each `$name` is read from a session.

A getter gives None for what nginx calls "not found": "-" in a log, nothing elsewhere. The names
that a configuration may use stand in `variables.names`; a test holds the two equal.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from tidegate.engine.address import unpack_address
from tidegate.stream import mqtt_variables, realip
from tidegate.stream.session import Try, client_text
from tidegate.variables.computed import computed
from tidegate.variables.names import OF_TLV, TLS, TLV, tlv_type
from tidegate.wire import tlvs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidegate.stream.session import Session
    from tidegate.variables.computed import Definition
    from tidegate.wire.client_hello import ClientHello
    from tidegate.wire.proxy_protocol import Endpoint, Proxied

NGINX_VERSION = "1.31.0"  # whose behaviour this is
# Variables that must be read while the client's socket is open.
OF_THE_SOCKET = frozenset({"server_addr", "server_port"})


def seconds(ms: int) -> str:
    """Milliseconds as nginx logs durations."""
    return f"{ms // 1000}.{ms % 1000:03d}"


def _server_endpoint(session: Session) -> Endpoint:
    if session.server_endpoint is None:
        engine = session.server.engine
        session.server_endpoint = unpack_address(engine.server_address(session.handle))
    return session.server_endpoint


def _binary_remote_addr(session: Session) -> str:
    family, host, _port = session.client_endpoint
    if family not in (socket.AF_INET, socket.AF_INET6):
        return "unix:"
    # Texts hold bytes that are no UTF-8 as everywhere here, so that keys and logs get them back.
    return socket.inet_pton(family, host).decode("utf-8", "surrogateescape")


def _port_of(endpoint: Endpoint) -> str:
    """A port as nginx prints it: nothing where there is none."""
    family, _host, port = endpoint
    return "" if family == socket.AF_UNIX else _port(port)


def _port(number: int) -> str:
    return str(number) if number else ""


def _of_header(read: Callable[[Proxied], str]) -> Callable[[Session], str | None]:
    def get(session: Session) -> str | None:
        told = realip.proxied(session)
        return None if told is None else read(told)

    return get


def _server_addr(session: Session) -> str:
    family, host, _port = _server_endpoint(session)
    return f"unix:{host}" if family == socket.AF_UNIX else host


def _server_port(session: Session) -> str:
    return _port_of(_server_endpoint(session))


def _limit_conn_status(session: Session) -> str | None:
    limits = session.server.limits
    return None if limits is None else limits.status(session)


def _msec(_session: Session) -> str:
    return seconds(time.time_ns() // 1_000_000)


def _iso8601(now: float, fraction: str) -> str:
    """A local time; what stands behind its seconds is put there."""
    text = time.strftime(f"%Y-%m-%dT%H:%M:%S{fraction}%z", time.localtime(now))
    return f"{text[:-2]}:{text[-2:]}"


def _time_iso8601_ms(_session: Session) -> str:
    ms = time.time_ns() // 1_000_000
    return _iso8601(ms // 1000, f".{ms % 1000:03d}")


# nginx counts it as a try that no node was left.
NO_NODE = Try("", 0)


def _without_node(session: Session) -> bool:
    return session.peer < 0 and session.attempt is not None and session.attempt.last < 0


def _per_try(tried: str, last: str, text: Callable[[int], str]) -> Callable[[Session], str | None]:
    """A value for each node that was tried, with nginx's comma between them.

    `tried` and `last` are its names in a Try and, for the node of the session, in a Report.
    """

    def read(session: Session) -> str | None:
        values = [text(getattr(one, tried)) for one in session.failed]
        if session.peer >= 0:
            values.append(text(getattr(session.progress, last)))
        elif _without_node(session):
            values.append(text(getattr(NO_NODE, tried)))
        return ", ".join(values) if values else None

    return read


def _time(ms: int) -> str:
    return "-" if ms < 0 else seconds(ms)


def _upstream_addr(session: Session) -> str | None:
    values = [one.address for one in session.failed]
    if session.peer >= 0:
        values.append(session.address)
    elif _without_node(session):
        # nginx logs the name of the upstream where no node was left.
        values.append(session.proxy.upstream.name)
    return ", ".join(values) if values else None


def _upstream_last_addr(session: Session) -> str | None:
    if session.peer >= 0:
        return session.address
    return session.failed[-1].address if session.failed else None


class Getters(dict[str, "Callable[[Session], str | None]"]):
    """Getters by name; names with a known prefix are made when they are asked for."""

    def __missing__(self, name: str) -> Callable[[Session], str | None]:
        if tlv_type(name) is not None:
            return _of_tlv(name)
        if not name.startswith(mqtt_variables.USER_PROPERTY):
            raise KeyError(name)
        return _of_mqtt(name)


def _of_tls(name: str) -> Callable[[Session], str | None]:
    asked = name.removeprefix("ssl_")
    return lambda session: session.server.engine.tls(session.handle, asked)


def _of_tlv(name: str) -> Callable[[Session], str | None]:
    asked = name.removeprefix(OF_TLV)

    def get(session: Session) -> str | None:
        told = realip.proxied(session)
        return None if told is None else tlvs.find(told.tlvs, asked)

    return get


def _of_hello(read: Callable[[ClientHello], str]) -> Callable[[Session], str | None]:
    def get(session: Session) -> str | None:
        hello = session.passing
        return None if hello is None else read(hello)

    return get


def _of_mqtt(name: str) -> Callable[[Session], str | None]:
    return lambda session: session.mqtt(name)


GETTERS = Getters(
    {
        "binary_remote_addr": _binary_remote_addr,
        "bytes_received": lambda session: str(session.progress.bytes_received),
        "bytes_sent": lambda session: str(session.progress.bytes_sent),
        "connection": lambda session: str(session.number),
        "hostname": lambda _session: socket.gethostname().lower(),
        "limit_conn_status": _limit_conn_status,
        "msec": _msec,
        "nginx_version": lambda _session: NGINX_VERSION,
        "pid": lambda _session: str(os.getpid()),
        "protocol": lambda _session: "TCP",
        "proxy_protocol_addr": _of_header(lambda told: told.source),
        "proxy_protocol_port": _of_header(lambda told: _port(told.source_port)),
        "proxy_protocol_server_addr": _of_header(lambda told: told.destination),
        "proxy_protocol_server_port": _of_header(lambda told: _port(told.destination_port)),
        "realip_remote_addr": lambda session: client_text(realip.peer_endpoint(session)),
        "realip_remote_port": lambda session: _port_of(realip.peer_endpoint(session)),
        "remote_addr": lambda session: client_text(session.client_endpoint),
        "remote_port": lambda session: _port_of(session.client_endpoint),
        "server_addr": _server_addr,
        "server_port": _server_port,
        "session_time": lambda session: seconds(session.progress.session_ms),
        "ssl_preread_alpn_protocols": _of_hello(lambda hello: ",".join(hello.protocols)),
        "ssl_preread_protocol": _of_hello(lambda hello: hello.version),
        "ssl_preread_server_name": _of_hello(lambda hello: hello.server_name),
        "status": lambda session: f"{session.progress.status:03d}",
        "time_iso8601": lambda _session: _iso8601(time.time(), ""),
        "time_iso8601_ms": _time_iso8601_ms,
        "time_local": lambda _session: time.strftime("%d/%b/%Y:%H:%M:%S %z"),
        "upstream_addr": _upstream_addr,
        "upstream_bytes_received": _per_try("received", "upstream_bytes_received", str),
        "upstream_bytes_sent": _per_try("sent", "upstream_bytes_sent", str),
        "upstream_connect_time": _per_try("connect_ms", "connect_ms", _time),
        "upstream_first_byte_time": _per_try("first_byte_ms", "first_byte_ms", _time),
        "upstream_last_addr": _upstream_last_addr,
        "upstream_session_time": _per_try("session_ms", "upstream_ms", _time),
        **{name: _of_tls(name) for name in TLS},
        **{name: _of_tlv(name) for name in TLV},
        **{name: _of_mqtt(name) for name in mqtt_variables.NAMES},
    }
)


def with_computed(definitions: Mapping[str, Definition]) -> Getters:
    """All getters of a configuration that defines these variables."""
    getters = Getters(GETTERS)
    getters.update(computed(definitions, GETTERS))
    return getters
