"""The variables of `stream {}`, by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

# What a configuration may use, and what it stands for. nginx's names and meanings.
STREAM: Final = MappingProxyType(
    {
        "binary_remote_addr": "the client's address as 4 or 16 bytes",
        "bytes_received": "bytes received from the client",
        "bytes_sent": "bytes sent to the client",
        "connection": "the number of the connection",
        "hostname": "the name of this host",
        "msec": "the time in seconds with milliseconds",
        "nginx_version": "the version of nginx whose behaviour is followed",
        "pid": "the process ID of the worker",
        "protocol": "TCP",
        "remote_addr": "the client's address",
        "remote_port": "the client's port",
        "server_addr": "the address that accepted the connection",
        "server_port": "the port that accepted the connection",
        "session_time": "how long the session took, in seconds with milliseconds",
        "status": "how the session ended: 200, 400, 403, 500, 502, 503",
        "time_iso8601": "the local time as 2026-11-22T05:18:04+00:00",
        "time_local": "the local time as 22/Nov/2026:05:18:04 +0000",
        "upstream_addr": "the brokers tried, by address",
        "upstream_bytes_received": "bytes received from each broker",
        "upstream_bytes_sent": "bytes sent to each broker",
        "upstream_connect_time": "how long each connect took, in seconds with milliseconds",
        "upstream_first_byte_time": "how long each broker took to send its first byte",
        "upstream_session_time": "how long the session with each broker took",
    }
)

# What nginx knows and we do not yet.
LATER: Final = frozenset(
    {
        "limit_conn_status",
        "mqtt_preread_clientid",
        "mqtt_preread_username",
        "proxy_protocol_addr",
        "proxy_protocol_port",
        "proxy_protocol_server_addr",
        "proxy_protocol_server_port",
        "realip_remote_addr",
        "realip_remote_port",
        "time_iso8601_ms",
        "upstream_last_addr",
    }
)
LATER_PREFIXES: Final = ("ssl_", "proxy_protocol_tlv_", "geoip_")


def comes_later(name: str) -> bool:
    """Whether nginx has a variable of this name that tidegate has not yet."""
    return name in LATER or name.startswith(LATER_PREFIXES)
