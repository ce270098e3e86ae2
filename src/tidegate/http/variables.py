"""The variables of `http {}`: how each `$name` is read from a session.

Those that stream has too are stream's. A getter gives None for what nginx calls "not found". Most
tell of the request and can be read while there is one; those in LATE change until the end.
"""

from __future__ import annotations

import base64
import os
import secrets
from typing import TYPE_CHECKING, Any, Final

from tidegate.engine.loop import COUNTERS
from tidegate.http.uri import escape_argument
from tidegate.stream.session import Try, client_text
from tidegate.stream.variables import GETTERS as STREAM
from tidegate.stream.variables import seconds
from tidegate.variables.computed import computed
from tidegate.variables.values import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidegate.http.request import Request
    from tidegate.http.session import HttpSession
    from tidegate.variables.computed import Definition
    from tidegate.wire.head import Fields

    Getter = Callable[[HttpSession], str | None]

# What has no meaning in http, or another one.
NOT_OF_STREAM: Final = frozenset(
    {
        "bytes_received",
        "protocol",
        "session_time",
        "ssl_preread_alpn_protocols",
        "ssl_preread_protocol",
        "ssl_preread_server_name",
        "upstream_first_byte_time",
        "upstream_session_time",
    }
)

# What a log line asks at the end, not when a tunnel begins.
LATE: Final = frozenset(
    {
        "body_bytes_sent",
        "bytes_sent",
        "connection",
        "connection_requests",
        "connection_time",
        "hostname",
        "limit_conn_status",
        "msec",
        "nginx_version",
        "pid",
        "remote_addr",
        "remote_port",
        "request_completion",
        "request_time",
        "scheme",
        "server_name",
        "status",
        "time_iso8601",
        "time_iso8601_ms",
        "time_local",
        "upstream_addr",
        "upstream_bytes_received",
        "upstream_bytes_sent",
        "upstream_connect_time",
        "upstream_header_time",
        "upstream_response_length",
        "upstream_response_time",
        "connections_active",
        "connections_reading",
        "connections_writing",
        "connections_waiting",
    }
)


def _of(read: Callable[[Request], str | None]) -> Getter:
    """What a request tells; nothing where there is none."""

    def get(session: HttpSession) -> str | None:
        return None if session.request is None else read(session.request)

    return get


def _text(value: bytes | None) -> str | None:
    return None if value is None else decode(value)


def _field(name: str) -> Getter:
    asked = name.replace("_", "-").encode()

    def read(request: Request) -> str | None:
        return None if request.head is None else _find(request.head.fields, asked)

    return _of(read)


def _find(fields: Fields, asked: bytes) -> str | None:
    """A field by its name with "-" for "_", which may itself have either."""
    value = fields.get(asked)
    if value is None and b"-" in asked:
        value = next((v for name, v in fields if name.lower().replace(b"_", b"-") == asked), None)
    return _text(value)


def _sent_field(name: str) -> Getter:
    asked = name.replace("_", "-").encode()

    def read(request: Request) -> str | None:
        return None if request.response is None else _text(request.response.find(asked))

    return _of(read)


def _upstream_field(name: str) -> Getter:
    asked = name.replace("_", "-").encode()

    def read(request: Request) -> str | None:
        return None if request.upstream is None else _find(request.upstream.fields, asked)

    return _of(read)


def _argument(name: str) -> Getter:
    asked = name.encode()

    def read(request: Request) -> str | None:
        for one in (request.args or b"").split(b"&"):
            key, mark, value = one.partition(b"=")
            if mark and key.lower() == asked:
                return decode(value)
        return None

    return _of(read)


def _cookie(name: str) -> Getter:
    asked = name.encode()

    def read(request: Request) -> str | None:
        cookies = request.head.fields.all(b"cookie") if request.head is not None else []
        for one in b";".join(cookies).split(b";"):
            key, mark, value = one.strip().partition(b"=")
            if mark and key.lower() == asked:
                return decode(value)
        return None

    return _of(read)


PREFIXES: Final = {
    "http_": _field,
    "sent_http_": _sent_field,
    "upstream_http_": _upstream_field,
    "arg_": _argument,
    "cookie_": _cookie,
}


class Getters(dict[str, "Callable[[Any], str | None]"]):
    """Getters by name; names with a known prefix are made when they are asked for."""

    def __missing__(self, name: str) -> Getter:
        for prefix, make in PREFIXES.items():
            if name.startswith(prefix) and name != prefix:
                return make(name.removeprefix(prefix))
        return STREAM[name]


def _host(session: HttpSession) -> str:
    request = session.request
    if request is not None and request.host is not None:
        return decode(request.host)
    return session.location.virtual.name


def _remote_user(request: Request) -> str | None:
    value = b"" if request.head is None else request.head.fields.get(b"authorization", b"")
    scheme, _, told = value.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        name, mark, _password = base64.b64decode(told.strip(), validate=True).partition(b":")
    except ValueError:
        return None
    return decode(name) if mark and name else None


def _forwarded_for(session: HttpSession) -> str:
    request = session.request
    client = client_text(session.client_endpoint)
    head = None if request is None else request.head
    before = None if head is None else head.fields.get(b"x-forwarded-for")
    return client if before is None else f"{decode(before)}, {client}"


def _request_length(request: Request) -> str:
    return str(request.size)


def _body_bytes_sent(session: HttpSession) -> str:
    return str(max(session.bytes_sent - session.header_size, 0))


def _upstream_status(session: HttpSession) -> str | None:
    request = session.request
    if request is None or session.attempt is None:
        return None
    told = list(request.upstream_statuses)
    count = len(session.failed) + (session.peer >= 0)
    if not count:
        return "502"  # no node was left
    told += ["502" if at < len(session.failed) else "-" for at in range(len(told), count)]
    return ", ".join(told[:count])


def _per_try(tried: Callable[[Try], str], last: Callable[[HttpSession], str]) -> Getter:
    def read(session: HttpSession) -> str | None:
        values = [tried(one) for one in session.failed]
        if session.peer >= 0:
            values.append(last(session))
        return ", ".join(values) if values else None

    return read


def _time(ms: int) -> str:
    return "-" if ms < 0 else seconds(ms)


def _proxy(read: Callable[[HttpSession], str]) -> Getter:
    return lambda session: read(session) if session.location.request is not None else None


def _proxy_host(session: HttpSession) -> str:
    told = "" if session.request is None else session.request.proxy_host
    return told or session.location.proxy_limits.host


def _document_root(session: HttpSession) -> str | None:
    folder = session.location.folder
    return None if folder is None else folder.root(session)


def _realpath_root(session: HttpSession) -> str | None:
    root = _document_root(session)
    return None if root is None else os.path.realpath(root)


def _request_filename(session: HttpSession) -> str | None:
    folder, request = session.location.folder, session.request
    if folder is None or request is None:
        return None
    return folder.path(folder.root(session), decode(request.path))


def _completion(session: HttpSession) -> str:
    return "OK" if session.status and not session.progress.error else ""


def _client_escaped_cert(session: HttpSession) -> str | None:
    value = STREAM["ssl_client_raw_cert"](session)
    return None if value is None else decode(escape_argument(value.encode()))


def _connections(name: str) -> Getter:
    place = COUNTERS.index(name)
    return lambda session: str(session.port.gauges.total(place))


def _https(session: HttpSession) -> str:
    return "on" if session.secure else ""


def _request_id(session: HttpSession) -> str:
    values = session.compute()
    found = values.known.get("request_id")
    if found is None:
        found = values.known["request_id"] = secrets.token_hex(16)
    return found


def _server_protocol(request: Request) -> str | None:
    return f"HTTP/1.{request.head.minor}" if request.head is not None else ""


GETTERS: Final = Getters(
    {
        **{name: get for name, get in STREAM.items() if name not in NOT_OF_STREAM},
        "args": _of(lambda request: decode(request.args or b"")),
        "body_bytes_sent": _body_bytes_sent,
        "bytes_sent": lambda session: str(session.bytes_sent),
        "connection_requests": lambda session: str(session.requests),
        "connection_time": lambda session: seconds(session.progress.session_ms),
        "connections_active": _connections("active"),
        "connections_reading": _connections("reading"),
        "connections_waiting": _connections("waiting"),
        "connections_writing": _connections("writing"),
        "content_length": _field("content_length"),
        "content_type": _field("content_type"),
        "document_root": _document_root,
        "document_uri": _of(lambda request: decode(request.path)),
        "host": _host,
        "https": _https,
        "is_args": _of(lambda request: "?" if request.args else ""),
        "pipe": lambda session: "p" if session.pipelined else ".",
        "proxy_add_x_forwarded_for": _forwarded_for,
        "proxy_host": _proxy(_proxy_host),
        "proxy_port": _proxy(lambda session: session.location.proxy_limits.port),
        "query_string": _of(lambda request: decode(request.args or b"")),
        "realpath_root": _realpath_root,
        "remote_user": _of(_remote_user),
        "request": _of(lambda request: decode(request.line)),
        "request_completion": _completion,
        "request_filename": _request_filename,
        "request_id": _request_id,
        "request_length": _of(_request_length),
        "request_method": _of(lambda request: decode(request.method)),
        "request_time": lambda session: seconds(session.age_ms),
        "request_uri": _of(lambda request: _text(None if request.uri is None else request.uri.raw)),
        "scheme": lambda session: "https" if session.secure else "http",
        "server_name": lambda session: session.location.virtual.name,
        "server_protocol": _of(_server_protocol),
        "ssl_client_escaped_cert": _client_escaped_cert,
        "status": lambda session: f"{session.status:03d}",
        "upstream_header_time": _per_try(
            lambda one: _time(one.first_byte_ms),
            lambda session: _time(session.progress.first_byte_ms),
        ),
        "upstream_response_length": _per_try(
            lambda one: str(one.received),
            lambda session: str(
                max(session.progress.upstream_bytes_received - session.upstream_head, 0)
            ),
        ),
        "upstream_response_time": _per_try(
            lambda one: _time(one.session_ms), lambda session: _time(session.progress.upstream_ms)
        ),
        "upstream_status": _upstream_status,
        "uri": _of(lambda request: decode(request.path)),
    }
)


def with_computed(definitions: Mapping[str, Definition]) -> Getters:
    """All getters of a configuration that defines these variables."""
    getters = Getters(GETTERS)
    getters.update(computed(definitions, GETTERS))
    return getters


def kept(getters: Getters, names: tuple[str, ...]) -> Getters:
    """The same for log lines: `names` are looked up in what a session kept, once it has."""

    def recall(at: int, get: Getter) -> Getter:
        return lambda session: get(session) if session.kept is None else session.kept[at]

    found = Getters(getters)
    found.update({name: recall(at, getters[name]) for at, name in enumerate(names)})
    return found
