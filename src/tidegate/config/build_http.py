"""`http {}`: who reads which directive, and what is looked at when all was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config import (
    build_access,
    build_http_answers,
    build_http_proxy,
    build_limit_conn,
    build_mqtt,
    build_realip,
    build_ssl,
)
from tidegate.config.build_bind import finish_binds, proxy_bind
from tidegate.config.build_geo import geo
from tidegate.config.build_http_server import listen, server, server_name
from tidegate.config.build_http_warnings import finish_warnings
from tidegate.config.build_location import finish_locations, location
from tidegate.config.build_logs import (
    access_log,
    log_format,
    open_log_file_cache,
    stream_error_log,
)
from tidegate.config.build_map import map_
from tidegate.config.build_method import hash_, ip_hash, least_conn, least_time, random
from tidegate.config.build_names import finish_names
from tidegate.config.build_resolver import resolver
from tidegate.config.build_route import finish_routes
from tidegate.config.build_shared import give_listens
from tidegate.config.build_split_clients import split_clients
from tidegate.config.build_tls import finish_proxy_tls, finish_tls_of_address, finish_tls_of_http
from tidegate.config.build_upstream import finish_group, upstream, zone
from tidegate.config.build_upstream import server as upstream_server
from tidegate.config.build_variables import finish_variables
from tidegate.config.draft_http import in_http
from tidegate.config.grammar import find
from tidegate.config.model import LogFormat
from tidegate.variables.template import parse

if TYPE_CHECKING:
    from tidegate.config.draft import DraftHandler, Reading

COMBINED = LogFormat(
    name="combined",
    template=parse(
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
        ' "$http_referer" "$http_user_agent"'
    ),
    escape="default",
)


def finish_http(reading: Reading) -> None:
    """What nginx checks when it has read all of `http {}`, in its order."""
    http = in_http(reading)
    for group in http.upstreams:
        finish_group(reading, group)
    give_listens(http)
    for draft in http.servers:
        finish_tls_of_http(reading, draft)
    for known in http.addresses.values():
        finish_tls_of_address(reading, known)
    for one in http.locations():
        if one.proxy is not None and one.proxy.secure:
            finish_proxy_tls(reading, one)
    for draft in http.servers:
        finish_locations(reading, draft)
    build_limit_conn.finish_limit_conn(reading)
    finish_variables(reading)
    finish_binds(reading)
    finish_routes(reading)
    for known in http.addresses.values():
        finish_names(reading, known)
    for one in http.locations():
        if one.match is not None:
            build_mqtt.finish_server(reading, one)
    build_mqtt.finish_retries(reading)
    finish_warnings(reading)


_EVERYWHERE: dict[str, DraftHandler] = {
    "proxy_bind": proxy_bind,
    "resolver": resolver,
    "error_log": stream_error_log,
    "access_log": access_log,
    "open_log_file_cache": open_log_file_cache,
}

# Directives of stream that mean the same here, by the context that they have there.
_ALSO = {
    "stream": ("http",),
    "stream.server": ("http.server", "http.location"),
}


def _also(handlers: dict[tuple[str, str], DraftHandler]) -> dict[tuple[str, str], DraftHandler]:
    return {
        (context, name): handler
        for (there, name), handler in handlers.items()
        for context in _ALSO[there]
        if find(name, context) is not None
    }


HANDLERS: dict[tuple[str, str], DraftHandler] = {
    ("http", "server"): server,
    ("http", "upstream"): upstream,
    ("http", "log_format"): log_format,
    ("http", "map"): map_,
    ("http", "geo"): geo,
    ("http", "split_clients"): split_clients,
    ("http.server", "listen"): listen,
    ("http.server", "server_name"): server_name,
    ("http.server", "location"): location,
    ("http.location", "location"): location,
    ("http.upstream", "resolver"): resolver,
    ("http.upstream", "server"): upstream_server,
    ("http.upstream", "zone"): zone,
    ("http.upstream", "hash"): hash_,
    ("http.upstream", "ip_hash"): ip_hash,
    ("http.upstream", "least_conn"): least_conn,
    ("http.upstream", "least_time"): least_time,
    ("http.upstream", "random"): random,
    **{
        (context, name): handler
        for context in ("http", "http.server", "http.location")
        for name, handler in _EVERYWHERE.items()
    },
    **_also(build_access.HANDLERS),
    **_also(build_limit_conn.HANDLERS),
    **_also(build_mqtt.HANDLERS),
    **_also(build_realip.HANDLERS),
    **_also(build_ssl.HANDLERS),
    **build_http_answers.HANDLERS,
    **build_http_proxy.HANDLERS,
}
