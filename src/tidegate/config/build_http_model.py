"""`http {}` as the rest of the program sees it: each location with all that it inherits."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tidegate.config import values
from tidegate.config.build_http_answers import under
from tidegate.config.build_limit_conn import make_limit_conns
from tidegate.config.build_logs import COMBINED, finished_access_logs
from tidegate.config.build_mqtt import make_mqtt
from tidegate.config.build_upstream import make_upstreams
from tidegate.config.build_variables import asked_tlvs
from tidegate.config.draft_http import LocationDraft, nearest
from tidegate.config.model import AccessLog, Bind
from tidegate.config.model_http import (
    Files,
    Header,
    Http,
    HttpListen,
    HttpProxy,
    HttpServer,
    Location,
    StubStatus,
)
from tidegate.variables.template import Template, Variable

if TYPE_CHECKING:
    from tidegate.config.draft import Draft
    from tidegate.config.draft_http import HttpDraft, HttpServerDraft
    from tidegate.config.model import ErrorLog
    from tidegate.config.model_http import HttpContent
    from tidegate.config.scope import Scope

LARGEST_BUFFER = 1 << 40

NEXT_UPSTREAM = frozenset({"error", "timeout"})

KEEPALIVE_MS = 75_000
HEADER_BUFFERS = (4, 8 << 10)

SET_HEADERS = (
    Header(name="Host", value=Template((Variable("proxy_host"),))),
    Header(name="Connection", value=Template(("close",))),
)

# What a broker says of itself that no client is to read (ngx_http_proxy_hide_headers).
HIDE_HEADERS = (
    "date",
    "server",
    "x-pad",
    "x-accel-expires",
    "x-accel-redirect",
    "x-accel-limit-rate",
    "x-accel-buffering",
    "x-accel-charset",
)

TYPES = {"html": "text/html", "gif": "image/gif", "jpg": "image/jpeg"}


def make_http(
    draft: Draft, http: HttpDraft, error_logs: tuple[ErrorLog, ...], access_log: str
) -> Http:
    """The model of `http {}`; its logs go to `access_log` where nobody says where they go."""
    maker = _Maker(draft, http, error_logs, access_log)
    return Http(
        upstreams=make_upstreams(http, http=True),
        limit_conn_zones=tuple(http.limit_zones.values()),
        servers=tuple(maker.server(one) for one in http.servers),
        variables=tuple(http.definitions.items()),
        tlvs=asked_tlvs(http),
        span=http.directive.name.span,
    )


class _Maker:
    """Makes servers and locations; keys of locations are made once each."""

    def __init__(
        self, draft: Draft, http: HttpDraft, error_logs: tuple[ErrorLog, ...], access_log: str
    ) -> None:
        self._error_logs = error_logs
        self._access_logs = (AccessLog(path=access_log, format=http.formats[COMBINED]),)
        self._folder = draft.path("")
        self._keys: set[str] = set()

    def server(self, draft: HttpServerDraft) -> HttpServer:
        outside = draft.outside
        scope = outside.scope
        header_timeout = scope.integer("client_header_timeout")
        return HttpServer(
            listens=tuple(
                HttpListen(
                    listen=listen,
                    default=known.first is draft,
                )
                for listen, known in zip(outside.listens, draft.addresses, strict=True)
            ),
            names=tuple(dict.fromkeys(name for name, _span in draft.names)) or ("",),
            tls=draft.tls,
            returns=outside.answer,
            assignments=tuple(outside.assignments),
            locations=tuple(self._location(one) for one in outside.nested),
            outside=self._location(outside),
            client_header_timeout_ms=header_timeout,
            client_header_buffer_size=scope.integer("client_header_buffer_size"),
            large_client_header_buffers=_header_buffers(scope),
            ignore_invalid_headers=scope.flag("ignore_invalid_headers"),
            underscores_in_headers=scope.flag("underscores_in_headers"),
            merge_slashes=scope.flag("merge_slashes"),
            proxy_protocol_timeout_ms=header_timeout,
            error_logs=outside.error_logs() or self._error_logs,
            span=draft.directive.name.span,
        )

    def _location(self, draft: LocationDraft) -> Location:
        scope = draft.scope
        timeout, header = _keepalive(scope)
        types = nearest(draft, lambda lists: lists.types)
        return Location(
            match=draft.match,
            text=draft.text,
            key=self._key(draft),
            nested=() if draft.match is None else tuple(map(self._location, draft.nested)),
            content=self._content(draft),
            internal=scope.flag("internal"),
            satisfy_any=scope.optional_text("satisfy") == "any",
            access=draft.access_rules(),
            limit_conns=make_limit_conns(draft),
            limit_conn_status=scope.integer("limit_conn_status"),
            assignments=() if draft.match is None else tuple(draft.assignments),
            add_headers=tuple(nearest(draft, lambda lists: lists.add_headers or None) or ()),
            error_pages=tuple(nearest(draft, lambda lists: lists.error_pages or None) or ()),
            types=tuple((TYPES if types is None else types).items()),
            default_type=scope.optional_text("default_type") or "",
            client_max_body_size=scope.integer("client_max_body_size"),
            client_body_timeout_ms=scope.integer("client_body_timeout"),
            send_timeout_ms=scope.integer("send_timeout"),
            keepalive_timeout_ms=timeout,
            keepalive_header=header,
            keepalive_requests=min(scope.integer("keepalive_requests"), values.LONGEST_MS),
            server_tokens=scope.optional_text("server_tokens") != "off",
            absolute_redirect=scope.flag("absolute_redirect"),
            port_in_redirect=scope.flag("port_in_redirect"),
            server_name_in_redirect=scope.flag("server_name_in_redirect"),
            tcp_nodelay=scope.flag("tcp_nodelay"),
            real_ip_from=draft.trusted(),
            real_ip_header=(scope.optional_text("real_ip_header") or "").lower(),
            real_ip_recursive=scope.flag("real_ip_recursive"),
            access_logs=finished_access_logs(draft, otherwise=self._access_logs),
            error_logs=draft.error_logs() or self._error_logs,
            span=draft.directive.name.span,
        )

    def _key(self, draft: LocationDraft) -> str:
        """A name of a location that stays as long as its server's address and name do."""
        around = (one for one in draft.blocks() if isinstance(one, LocationDraft))
        where = [f"{one.match}{one.text}" for one in around]
        server = [known.address.text for known in draft.server.addresses]
        words = "\0".join([*server, *(name for name, _span in draft.server.names[:1]), *where])
        key = words
        number = 0
        while key in self._keys:
            number += 1
            key = f"{words}\0{number}"
        self._keys.add(key)
        return hashlib.blake2s(key.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()

    def _content(self, draft: LocationDraft) -> HttpContent:
        if draft.match is not None and draft.answer is not None:
            return draft.answer
        if draft.proxy is not None:
            return _proxy(draft)
        if draft.stub:
            return StubStatus()
        return self._files(draft)

    def _files(self, draft: LocationDraft) -> Files:
        found = nearest(draft, lambda lists: lists.files)
        path = under(self._folder, Template(("html",)))
        alias = False
        if found is not None:
            path, alias = found.path, found.alias
            if alias and draft.text != found.text and draft.text.startswith(found.text):
                # An alias from around stands for what matched there.
                path = Template((*path.parts, draft.text[len(found.text) :]))
        return Files(
            root=path,
            alias=alias,
            index=tuple(
                nearest(draft, lambda lists: lists.index or None) or (Template(("index.html",)),)
            ),
            try_files=draft.try_files,
            autoindex=draft.scope.flag("autoindex"),
        )


def _keepalive(scope: Scope) -> tuple[int, int | None]:
    found = scope.get("keepalive_timeout")
    if not isinstance(found, tuple):
        return KEEPALIVE_MS, None
    timeout, *header = (int(str(one)) for one in found)
    return timeout, header[0] if header else None


def _header_buffers(scope: Scope) -> tuple[int, int]:
    found = scope.get("large_client_header_buffers")
    if not isinstance(found, tuple):
        return HEADER_BUFFERS
    number, size = (int(str(one)) for one in found)
    return number, size


def _proxy(draft: LocationDraft) -> HttpProxy:
    upstream = draft.upstream.name if draft.upstream is not None else draft.target
    proxy, scope = draft.proxy, draft.scope
    assert upstream is not None
    assert proxy is not None
    assert draft.pass_span is not None
    bind = scope.get("proxy_bind")
    words = scope.get("proxy_next_upstream")
    lists = nearest(draft, lambda lists: None if lists.redirect is None else lists)
    unwraps = scope.flag("mqtt_websocket_to")
    return HttpProxy(
        upstream=upstream,
        secure=proxy.secure,
        host=proxy.host,
        port=proxy.port,
        uri=proxy.uri,
        http_version=scope.optional_text("proxy_http_version") or "1.1",
        set_headers=_set_headers(draft),
        pass_request_headers=scope.flag("proxy_pass_request_headers"),
        pass_request_body=scope.flag("proxy_pass_request_body"),
        hide_headers=_hidden(draft),
        pass_headers=tuple(nearest(draft, lambda lists: lists.pass_headers or None) or ()),
        redirects=tuple(lists.redirects) if lists is not None else (),
        redirect_default=lists is None or lists.redirect_default,
        connect_timeout_ms=scope.integer("proxy_connect_timeout"),
        send_timeout_ms=scope.integer("proxy_send_timeout"),
        read_timeout_ms=scope.integer("proxy_read_timeout"),
        read_timeout_written=scope.place("proxy_read_timeout") is not None,
        buffer_size=min(scope.integer("proxy_buffer_size"), LARGEST_BUFFER),
        bind=bind if isinstance(bind, Bind) and bind.addresses else None,
        next_upstream=(
            frozenset(str(one) for one in words) if isinstance(words, tuple) else NEXT_UPSTREAM
        ),
        next_upstream_tries=min(scope.integer("proxy_next_upstream_tries"), values.LONGEST_MS),
        next_upstream_timeout_ms=scope.integer("proxy_next_upstream_timeout"),
        socket_keepalive=scope.flag("proxy_socket_keepalive"),
        intercept_errors=scope.flag("proxy_intercept_errors"),
        session_drop=scope.flag("proxy_session_drop"),
        protocol=scope.flag("proxy_protocol"),
        preread_timeout_ms=scope.integer("preread_timeout"),
        tls=draft.proxy_tls,
        mqtt=make_mqtt(draft),
        websocket_to_tcp=unwraps,
        span=draft.pass_span,
    )


def _set_headers(draft: LocationDraft) -> tuple[Header, ...]:
    """The headers of the nearest block that has some, and nginx's own that are not among them."""
    written = nearest(draft, lambda lists: lists.set_headers or None) or []
    names = {one.name.lower() for one in written}
    return (*written, *(one for one in SET_HEADERS if one.name.lower() not in names))


def _hidden(draft: LocationDraft) -> tuple[str, ...]:
    """Names of headers of brokers, in small letters, that clients do not get."""
    hidden = nearest(draft, lambda lists: lists.hide_headers or None) or []
    passed = nearest(draft, lambda lists: lists.pass_headers or None) or []
    return tuple(one for one in dict.fromkeys((*HIDE_HEADERS, *hidden)) if one not in passed)
