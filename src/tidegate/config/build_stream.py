"""`server {}` of stream: `proxy_pass`, `return`; and the end of `stream {}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config import (
    build_access,
    build_limit_conn,
    build_mqtt,
    build_realip,
    build_ssl,
    build_sticky,
)
from tidegate.config.build_bind import finish_binds, proxy_bind
from tidegate.config.build_geo import geo
from tidegate.config.build_logs import (
    access_log,
    log_format,
    open_log_file_cache,
    stream_error_log,
)
from tidegate.config.build_map import map_
from tidegate.config.build_method import hash_, ip_hash, least_conn, least_time, random
from tidegate.config.build_names import finish_choice, finish_names
from tidegate.config.build_pass import pass_
from tidegate.config.build_resolver import resolver
from tidegate.config.build_route import finish_routes
from tidegate.config.build_set import set_
from tidegate.config.build_shared import give_listens
from tidegate.config.build_split_clients import split_clients
from tidegate.config.build_stream_server import listen, server_name
from tidegate.config.build_tls import finish_proxy_tls, finish_tls
from tidegate.config.build_upstream import finish_group, passed_to, upstream, zone
from tidegate.config.build_upstream import server as upstream_server
from tidegate.config.build_variables import finish_variables, promise_variables, template
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft import ServerDraft, in_server, in_stream
from tidegate.config.model import Return
from tidegate.config.scope import Scope, put_positive

if TYPE_CHECKING:
    from tidegate.config.draft import DraftHandler, Reading
    from tidegate.config.parser import Directive


def server(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `server {}`."""
    stream = in_stream(reading)
    draft = ServerDraft(directive=directive, scope=Scope("stream.server", scope), around=stream)
    stream.servers.append(draft)
    reading.draft.server = draft
    try:
        draft.sound = reading.block(directive, draft.scope)
    finally:
        reading.draft.server = None
    if draft.sound and not draft.addresses:
        draft.sound = False
        raise ConfigError('no "listen" is defined for server', hint="add a line like: listen 1883;")


def proxy_pass(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `proxy_pass ADDRESS`."""
    scope.claim(directive.name.text)
    word = directive.args[0]
    server = in_server(reading)
    if "$" in word.text:
        server.target, server.upstream = template(reading, word, directive), None
    else:
        server.target, server.upstream = None, passed_to(reading, word, directive)
    server.pass_span, server.answer = directive.name.span, None


def return_(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `return TEXT`."""
    scope.claim(directive.name.text)
    value = template(reading, directive.args[0], directive)
    server = in_server(reading)
    server.upstream, server.target, server.pass_span = None, None, None
    server.answer = Return(value=value, span=directive.name.span)


def proxy_buffer_size(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `proxy_buffer_size SIZE`."""
    put_positive(directive, scope, why="nothing could be read through a buffer of 0 bytes")


PROTOCOLS = {"off": 0, "on": 1, "v2": 2}


def proxy_protocol(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `proxy_protocol on | off | v2`."""
    name, word = directive.name.text, directive.args[0]
    scope.claim(name)
    version = PROTOCOLS.get(word.text.lower())
    if version is None:
        message = f'invalid value "{word.text}" in "{name}" directive, it must be "on" or "off"'
        raise ConfigError(message, word.span, hint='"v2" sends the header of version 2')
    scope.put(name, version)


def finish_stream(reading: Reading) -> None:
    """What nginx checks when it has read all of `stream {}`, in its order."""
    stream = in_stream(reading)
    give_listens(stream)
    for draft in stream.servers:
        if draft.sound and not (draft.upstream or draft.target or draft.answer):
            hint = 'a server needs "proxy_pass", "pass" or "return"'
            message = "no handler for server"
            span = draft.directive.name.span
            line = draft.directive.end.line
            reading.report.error(message, span, line=line, hint=hint)
    for group in stream.upstreams:
        finish_group(reading, group)
    for draft in stream.servers:
        if draft.scope.flag("proxy_ssl") and draft.answer is None:
            finish_proxy_tls(reading, draft)
    for draft in stream.servers:
        finish_tls(reading, draft)
    build_limit_conn.finish_limit_conn(reading)
    finish_variables(reading)
    finish_binds(reading)
    finish_routes(reading)
    for known in stream.addresses.values():
        finish_names(reading, known)
        finish_choice(reading, known)
    for draft in stream.servers:
        build_mqtt.finish_server(reading, draft)
        build_realip.finish_server(reading, draft)
    build_mqtt.finish_retries(reading)


HANDLERS: dict[tuple[str, str], DraftHandler] = {
    ("stream", "server"): server,
    ("stream", "upstream"): upstream,
    ("stream", "proxy_bind"): proxy_bind,
    ("stream", "proxy_buffer_size"): proxy_buffer_size,
    ("stream", "proxy_protocol"): proxy_protocol,
    ("stream", "error_log"): stream_error_log,
    ("stream", "access_log"): access_log,
    ("stream", "log_format"): log_format,
    ("stream", "open_log_file_cache"): open_log_file_cache,
    ("stream", "map"): map_,
    ("stream", "geo"): geo,
    ("stream", "split_clients"): split_clients,
    ("stream", "keyval"): promise_variables,
    ("stream", "resolver"): resolver,
    ("stream.upstream", "resolver"): resolver,
    ("stream.server", "resolver"): resolver,
    ("stream.upstream", "server"): upstream_server,
    ("stream.upstream", "zone"): zone,
    ("stream.upstream", "hash"): hash_,
    ("stream.upstream", "ip_hash"): ip_hash,
    ("stream.upstream", "least_conn"): least_conn,
    ("stream.upstream", "least_time"): least_time,
    ("stream.upstream", "random"): random,
    ("stream.server", "listen"): listen,
    ("stream.server", "server_name"): server_name,
    ("stream.server", "pass"): pass_,
    ("stream.server", "proxy_pass"): proxy_pass,
    ("stream.server", "proxy_bind"): proxy_bind,
    ("stream.server", "proxy_buffer_size"): proxy_buffer_size,
    ("stream.server", "proxy_protocol"): proxy_protocol,
    ("stream.server", "return"): return_,
    ("stream.server", "error_log"): stream_error_log,
    ("stream.server", "access_log"): access_log,
    ("stream.server", "open_log_file_cache"): open_log_file_cache,
    ("stream.server", "set"): set_,
    **build_access.HANDLERS,
    **build_limit_conn.HANDLERS,
    **build_mqtt.HANDLERS,
    **build_realip.HANDLERS,
    **build_ssl.HANDLERS,
    **build_sticky.HANDLERS,
}
