"""Directives of `http {}` that are about brokers: `proxy_pass`, its headers, MQTT, upstreams."""

from __future__ import annotations

from tidegate.config import grammar_mqtt, grammar_stream
from tidegate.config.row import Kind, Row
from tidegate.dataclasses import replace

LOCATION = ("http.location",)
UPSTREAM = ("http.upstream",)
ALL = ("http", "http.server", "http.location")

_SETTINGS = "tests/nginx/test_same_http_settings.py::"
SEEN = _SETTINGS + "test_each_setting_changes_what_is_seen_as_in_nginx"
PROOFS = "tests/config/test_http_proxy.py::"


def _row(
    name: str,
    doc: str,
    *,
    contexts: tuple[str, ...] = ALL,
    args: str = "1",
    kind: Kind = Kind.SPECIAL,
    default: str | None = None,
    proof: str = "test_a_value_reaches_the_proxy",
) -> Row:
    return Row(
        name=name,
        contexts=contexts,
        args="flag" if kind is Kind.FLAG else args,
        kind=kind,
        default=default,
        doc=doc,
        proof=proof if "::" in proof else PROOFS + proof,
    )


PASS: tuple[Row, ...] = (
    _row(
        "proxy_pass",
        "Where requests go: http:// or https:// and a group, host:port, or `unix:` path.",
        contexts=LOCATION,
        proof=SEEN,
    ),
    _row(
        "proxy_http_version",
        "The version of HTTP for brokers; WebSocket needs 1.1.",
        default="1.1",
        proof=SEEN,
    ),
    _row(
        "proxy_set_header",
        "A field for brokers in place of the client's; an empty one is not sent.",
        args="2",
        default="Host $proxy_host; Connection close",
        proof=SEEN,
    ),
    _row("proxy_hide_header", "A field of brokers that clients do not get.", proof=SEEN),
    _row(
        "proxy_pass_header",
        "A field of brokers that clients get though it is one of those hidden.",
        proof=SEEN,
    ),
    _row(
        "proxy_redirect",
        "What is put in place of a broker's address where it sends a client elsewhere.",
        args="1,2",
        default="default",
        proof=SEEN,
    ),
    _row(
        "proxy_pass_request_headers",
        "Whether the client's fields go to brokers.",
        kind=Kind.FLAG,
        default="on",
        proof=SEEN,
    ),
    _row(
        "proxy_pass_request_body",
        "Whether the client's body goes to brokers.",
        kind=Kind.FLAG,
        default="on",
        proof=SEEN,
    ),
    _row(
        "proxy_intercept_errors",
        "Whether error_page is for errors of brokers, too.",
        kind=Kind.FLAG,
        default="off",
        proof=SEEN,
    ),
    _row(
        "proxy_connect_timeout",
        "How long a connect to a broker may take.",
        kind=Kind.TIME,
        default="60s",
        proof="tests/e2e/test_http_settings.py::test_a_broker_may_be_silent_for_so_long",
    ),
    _row(
        "proxy_send_timeout",
        "How long a broker may take nothing; proxy_read_timeout is the limit of both.",
        kind=Kind.TIME,
        default="60s",
    ),
    _row(
        "proxy_read_timeout",
        "How long a broker may be silent; without it MQTT's keep alive holds in a tunnel.",
        kind=Kind.TIME,
        default="60s",
        proof="tests/e2e/test_http_settings.py::test_a_broker_may_be_silent_for_so_long",
    ),
    _row(
        "proxy_buffer_size",
        "The longest head of a broker's answer.",
        kind=Kind.SIZE,
        default="4k",
        proof=SEEN,
    ),
    _row(
        "proxy_bind",
        "Our address, or addresses in turn, on the way to brokers; `transparent`; or `off`.",
        args="1+",
        proof=SEEN,
    ),
    _row(
        "proxy_next_upstream",
        "What makes the next broker be asked: error, timeout, http_503 and others, or off.",
        args="1+",
        default="error timeout",
        proof=SEEN,
    ),
    _row(
        "proxy_next_upstream_tries",
        "The most brokers tried for one request; 0: all.",
        kind=Kind.NUMBER,
        default="0",
        proof=SEEN,
    ),
    _row(
        "proxy_next_upstream_timeout",
        "How long brokers are tried for one request; 0: no limit.",
        kind=Kind.TIME,
        default="0",
        proof="tests/e2e/test_http_settings.py::test_brokers_are_tried_for_so_long",
    ),
    _row(
        "proxy_socket_keepalive",
        "Whether the kernel probes silent connections to brokers.",
        kind=Kind.FLAG,
        default="off",
        proof="tests/e2e/test_http_settings.py::test_options_reach_the_sockets_of_a_tunnel",
    ),
    _row(
        "proxy_session_drop",
        "Whether a reload ends the tunnels to brokers that it removes, or takes `down`.",
        kind=Kind.FLAG,
        default="off",
    ),
    _row(
        "proxy_protocol",
        "Whether brokers are told the client's address by a PROXY protocol header.",
        kind=Kind.FLAG,
        default="off",
        proof="tests/e2e/test_http_settings.py::test_a_broker_is_told_the_client_by_a_header",
    ),
    _row(
        "mqtt_websocket_to",
        "With `tcp` the MQTT in WebSocket goes to brokers without WebSocket.",
        default="off",
    ),
)

# Directives of stream by the contexts that they have there.
_PLACES = {
    ("stream", "stream.server"): ALL,
    ("stream.server",): LOCATION,
    ("stream.upstream",): UPSTREAM,
    ("stream", "stream.upstream"): ("http", *UPSTREAM),
}
_NAMES = ("resolver", "resolver_timeout")
_OF_STREAM = "ssl_preread"  # http ends TLS itself
_METHODS = ("server", "zone", "hash", "ip_hash", "least_conn", "least_time", "random")

SHARED: tuple[Row, ...] = tuple(
    replace(row, contexts=_PLACES[row.contexts])
    for row in (
        *(row for row in grammar_mqtt.ROWS if row.name != _OF_STREAM),
        *(
            row
            for row in grammar_stream.ROWS
            if row.contexts == ("stream.upstream",) and row.name in _METHODS
        ),
        *(
            row
            for row in grammar_stream.ROWS
            if row.contexts == ("stream", "stream.upstream") and row.name in _NAMES
        ),
    )
)

ROWS: tuple[Row, ...] = (
    Row(
        name="upstream",
        contexts=("http",),
        args="1",
        opens="http.upstream",
        doc="A group of brokers that `proxy_pass` can name.",
        proof=PROOFS + "test_a_group_is_shared_by_those_that_name_it",
    ),
    *PASS,
    *SHARED,
)
