"""What was read → the model that the rest of the program sees."""

from __future__ import annotations

import grp
import os
import pwd
from typing import TYPE_CHECKING

from tidegate.config import values
from tidegate.config.build_http_model import make_http
from tidegate.config.build_limit_conn import make_limit_conns
from tidegate.config.build_logs import finished_access_logs
from tidegate.config.build_mqtt import bounded, make_mqtt
from tidegate.config.build_upstream import make_upstreams
from tidegate.config.build_variables import asked_tlvs
from tidegate.config.model import (
    Bind,
    ErrorLog,
    Level,
    Model,
    Pass,
    Proxy,
    Return,
    Server,
    Stream,
)
from tidegate.config.scope import Scope
from tidegate.dataclasses import dataclass

if TYPE_CHECKING:
    from tidegate.config.draft import Draft, ServerDraft, StreamDraft

# nginx's own, for a master that is root and has no "user".
DEFAULT_USER = "nobody"

CONNECTIONS = 512

# Rates beyond any network interface mean "no limit", and must not overflow a sum.
LARGEST_RATE = 1 << 40
LARGEST_BUFFER = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where things are unless the configuration says otherwise; absolute paths."""

    error_log: str
    access_log: str
    pid: str


def make_model(draft: Draft, files: tuple[str, ...], places: Places) -> Model:
    """The model of a draft without errors."""
    main = draft.main
    events = draft.events or Scope("events")
    user, group = draft.user, draft.group
    if user is None:
        user, group = _default_user()
    error_logs = tuple(draft.error_logs) or (ErrorLog(path=places.error_log, level=Level.ERROR),)
    connections = events.optional_integer("worker_connections")
    return Model(
        files=files,
        user=user,
        group=group,
        worker_processes=main.optional_integer("worker_processes") or 1,
        worker_connections=CONNECTIONS if connections is None else connections,
        worker_rlimit_nofile=main.optional_integer("worker_rlimit_nofile"),
        worker_priority=main.optional_integer("worker_priority") or 0,
        worker_shutdown_timeout_ms=main.optional_integer("worker_shutdown_timeout"),
        daemon=main.flag("daemon"),
        master_process=main.flag("master_process"),
        pid=draft.path(main.optional_text("pid") or places.pid),
        error_logs=error_logs,
        env=_environment(draft),
        stream=_stream(draft.stream, error_logs) if draft.stream else None,
        http=make_http(draft, draft.http, error_logs, places.access_log) if draft.http else None,
    )


def _default_user() -> tuple[str | None, str | None]:
    """The user and group to become where none is named: only root becomes another."""
    if os.geteuid() != 0:
        return None, None
    try:
        found = pwd.getpwnam(DEFAULT_USER)
        return DEFAULT_USER, grp.getgrgid(found.pw_gid).gr_name
    except KeyError:
        return None, None


def _environment(draft: Draft) -> tuple[tuple[str, str | None], ...]:
    if any(name == "TZ" for name, _value in draft.env):
        return tuple(draft.env)
    return (("TZ", None), *draft.env)


def _stream(draft: StreamDraft, error_logs: tuple[ErrorLog, ...]) -> Stream:
    servers = tuple(_server(server, error_logs) for server in draft.servers)
    return Stream(
        upstreams=make_upstreams(draft),
        limit_conn_zones=tuple(draft.limit_zones.values()),
        servers=servers,
        variables=tuple(draft.definitions.items()),
        tlvs=asked_tlvs(draft),
    )


def _server(draft: ServerDraft, error_logs: tuple[ErrorLog, ...]) -> Server:
    return Server(
        listens=tuple(draft.listens),
        proxy_protocol_timeout_ms=draft.scope.integer("proxy_protocol_timeout"),
        real_ip_from=draft.trusted(),
        access=draft.access_rules(),
        limit_conns=make_limit_conns(draft),
        content=_content(draft),
        preread_buffer_size=bounded(draft.scope.integer("preread_buffer_size")),
        preread_timeout_ms=draft.scope.integer("preread_timeout"),
        ssl_preread=draft.scope.flag("ssl_preread"),
        mqtt=make_mqtt(draft),
        tls=draft.tls,
        tcp_nodelay=draft.scope.flag("tcp_nodelay"),
        access_logs=finished_access_logs(draft),
        error_logs=draft.error_logs() or error_logs,
        span=draft.directive.name.span,
        assignments=tuple(draft.assignments),
        names=tuple(dict.fromkeys(name for name, _span in draft.names)) or ("",),
        default_for=tuple(one.address.text for one in draft.addresses if one.first is draft),
    )


def _content(draft: ServerDraft) -> Proxy | Return | Pass:
    if draft.answer is not None:
        return draft.answer
    upstream = draft.upstream.name if draft.upstream is not None else draft.target
    assert upstream is not None
    assert draft.pass_span is not None
    scope = draft.scope
    bind = scope.get("proxy_bind")
    return Proxy(
        upstream=upstream,
        connect_timeout_ms=scope.integer("proxy_connect_timeout"),
        timeout_ms=scope.integer("proxy_timeout"),
        buffer_size=min(scope.integer("proxy_buffer_size"), LARGEST_BUFFER),
        protocol=scope.optional_integer("proxy_protocol") or 0,
        bind=bind if isinstance(bind, Bind) and bind.addresses else None,
        next_upstream=scope.flag("proxy_next_upstream"),
        next_upstream_tries=min(scope.integer("proxy_next_upstream_tries"), values.LONGEST_MS),
        next_upstream_timeout_ms=scope.integer("proxy_next_upstream_timeout"),
        socket_keepalive=scope.flag("proxy_socket_keepalive"),
        half_close=scope.flag("proxy_half_close"),
        session_drop=scope.flag("proxy_session_drop"),
        upload_rate=min(scope.integer("proxy_upload_rate"), LARGEST_RATE),
        download_rate=min(scope.integer("proxy_download_rate"), LARGEST_RATE),
        tls=draft.proxy_tls,
        span=draft.pass_span,
    )
