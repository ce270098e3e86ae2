"""Directives of `http {}`: its servers, their locations, and what is answered without a broker.

Those of `proxy_pass` and of upstreams stand in `grammar_http_proxy`, those that do nothing here in
`grammar_http_without`.
"""

from __future__ import annotations

from tidegate.config import (
    grammar_access,
    grammar_http_proxy,
    grammar_http_without,
    grammar_ssl,
    grammar_variables,
)
from tidegate.config.row import FREE, Kind, Row
from tidegate.dataclasses import replace

HTTP = ("http",)
SERVER = ("http.server",)
LOCATION = ("http.location",)
SERVERS = (*HTTP, *SERVER)
INSIDE = (*SERVER, *LOCATION)
ALL = (*SERVERS, *LOCATION)

_SETTINGS = "tests/nginx/test_same_http_settings.py::"
SEEN = _SETTINGS + "test_each_setting_changes_what_is_seen_as_in_nginx"
OF_SERVERS = _SETTINGS + "test_each_setting_of_a_server_changes_what_is_seen_as_in_nginx"
PROOFS = "tests/config/test_http_values.py::"


def _row(
    name: str,
    doc: str,
    *,
    contexts: tuple[str, ...] = ALL,
    args: str = "1",
    kind: Kind = Kind.SPECIAL,
    default: str | None = None,
    opens: str = "",
    proof: str = "test_a_value_reaches_locations",
) -> Row:
    return Row(
        name=name,
        contexts=contexts,
        args="flag" if kind is Kind.FLAG else args,
        kind=kind,
        default=default,
        opens=opens,
        doc=doc,
        proof=proof if "::" in proof else PROOFS + proof,
    )


BLOCKS: tuple[Row, ...] = (
    _row(
        "server",
        "Addresses, and names, whose requests are answered by the locations inside.",
        contexts=HTTP,
        args="0",
        opens="http.server",
        proof="tests/config/test_http.py::test_each_server_has_its_own_locations",
    ),
    _row(
        "location",
        "What is done with requests whose path begins so, is so, or fits an expression.",
        contexts=INSIDE,
        args="1,2",
        opens="http.location",
        proof="tests/config/test_location.py::test_a_location_keeps_how_it_matches",
    ),
    _row("types", "The media types of files, by extension.", args="0", opens=FREE, proof=SEEN),
)

CLIENTS: tuple[Row, ...] = (
    _row(
        "listen",
        "An address and port, or `unix:` path, to accept connections on.",
        contexts=SERVER,
        args="1+",
        default="*:80",
        proof="tests/config/test_http_server.py::test_servers_of_one_address_share_it",
    ),
    _row(
        "server_name",
        "The names that a server answers for: exact, with a wildcard, or an expression.",
        contexts=SERVER,
        args="1+",
        default='""',
        proof="tests/config/test_http_server.py::test_names_are_kept_in_small_letters",
    ),
    _row(
        "client_header_timeout",
        "How long a client may take to send the head of a request.",
        contexts=SERVERS,
        kind=Kind.TIME,
        default="60s",
        proof="tests/e2e/test_http_settings.py::test_a_client_may_be_silent_for_so_long",
    ),
    _row(
        "client_header_buffer_size",
        "The bytes that are read first of a request.",
        contexts=SERVERS,
        kind=Kind.SIZE,
        default="1k",
        proof="test_a_value_reaches_servers",
    ),
    _row(
        "large_client_header_buffers",
        "How many buffers a long head may fill, and how long one line of it may be.",
        contexts=SERVERS,
        args="2",
        default="4 8k",
        proof="test_a_value_reaches_servers",
    ),
    _row(
        "ignore_invalid_headers",
        "Whether fields with strange names are left out, or the request is refused.",
        contexts=SERVERS,
        kind=Kind.FLAG,
        default="on",
        proof=OF_SERVERS,
    ),
    _row(
        "underscores_in_headers",
        "Whether names of fields may have underscores.",
        contexts=SERVERS,
        kind=Kind.FLAG,
        default="off",
        proof=OF_SERVERS,
    ),
    _row(
        "merge_slashes",
        "Whether several slashes in a path are one.",
        contexts=SERVERS,
        kind=Kind.FLAG,
        default="on",
        proof=OF_SERVERS,
    ),
    _row(
        "client_max_body_size",
        "The longest body of a request; 0: any.",
        kind=Kind.OFFSET,
        default="1m",
        proof=SEEN,
    ),
    _row(
        "client_body_timeout",
        "How long a client may be silent while it sends a body.",
        kind=Kind.TIME,
        default="60s",
        proof="tests/e2e/test_http_settings.py::test_a_client_may_be_silent_for_so_long",
    ),
    _row(
        "send_timeout",
        "How long a client may take nothing of a file or page of ours.",
        kind=Kind.TIME,
        default="60s",
        proof="tests/e2e/test_http_settings.py::test_a_client_may_take_nothing_of_a_file_for_so_long",
    ),
    _row(
        "keepalive_timeout",
        "How long a client may stay without a request, and what it is told of that.",
        args="1,2",
        default="75s",
        proof=SEEN,
    ),
    _row(
        "keepalive_requests",
        "The most requests of one connection.",
        kind=Kind.NUMBER,
        default="1000",
        proof=SEEN,
    ),
    _row(
        "tcp_nodelay",
        "Whether small pieces are sent at once (TCP_NODELAY).",
        kind=Kind.FLAG,
        default="on",
        proof="tests/e2e/test_http_settings.py::test_options_reach_the_sockets_of_a_tunnel",
    ),
)

ANSWERS: tuple[Row, ...] = (
    _row(
        "return",
        "Answers with a code and a text, or sends the client elsewhere.",
        contexts=INSIDE,
        args="1,2",
        proof=SEEN,
    ),
    _row(
        "set",
        "Gives a variable a value in the requests of a server or location.",
        contexts=INSIDE,
        args="2",
        proof=SEEN,
    ),
    _row(
        "stub_status",
        "Answers with the counts of connections and requests.",
        contexts=INSIDE,
        args="0,1",
        proof="tests/process/test_local_content.py::test_the_status_page_is_nginx_s_to_the_byte",
    ),
    _row("internal", "Keeps a location from clients.", contexts=LOCATION, args="0", proof=SEEN),
    _row("root", "The folder that paths of requests are looked up in.", default="html", proof=SEEN),
    _row(
        "alias",
        "A folder in place of the part of a path that the location matches.",
        contexts=LOCATION,
        proof=SEEN,
    ),
    _row(
        "index", "The files that stand for a folder.", args="1+", default="index.html", proof=SEEN
    ),
    _row(
        "try_files",
        "The files to look for, and where to go when none is there.",
        contexts=INSIDE,
        args="2+",
        proof=SEEN,
    ),
    _row("autoindex", "Whether a folder is listed.", kind=Kind.FLAG, default="off", proof=SEEN),
    _row(
        "default_type",
        "The media type of files of no known extension.",
        kind=Kind.TEXT,
        default="text/plain",
        proof=SEEN,
    ),
    _row(
        "error_page", "Where to go for an error, and the status to answer.", args="2+", proof=SEEN
    ),
    _row(
        "add_header",
        "A field for the answer; with `always` for one of any status.",
        args="2,3",
        proof=SEEN,
    ),
    _row(
        "server_tokens",
        "Whether clients are told the version.",
        default="on",
        proof="tests/e2e/test_http_settings.py::test_the_version_is_told_unless_it_is_switched_off",
    ),
    _row(
        "absolute_redirect",
        "Whether redirects name the host.",
        kind=Kind.FLAG,
        default="on",
        proof=SEEN,
    ),
    _row(
        "port_in_redirect",
        "Whether absolute redirects name the port.",
        kind=Kind.FLAG,
        default="on",
        proof=SEEN,
    ),
    _row(
        "server_name_in_redirect",
        "Whether absolute redirects name the server, not the host of the request.",
        kind=Kind.FLAG,
        default="off",
        proof=SEEN,
    ),
)

RULES: tuple[Row, ...] = (
    _row(
        "limit_conn_status",
        "The status for clients over a limit.",
        kind=Kind.NUMBER,
        default="503",
        proof="tests/e2e/test_http_settings.py::test_the_status_for_clients_over_a_limit",
    ),
    _row(
        "set_real_ip_from",
        "Whose header names the client: an address, a network, `unix:`.",
        proof=SEEN,
    ),
    _row(
        "real_ip_header",
        "The field that names the client, or `proxy_protocol`.",
        kind=Kind.TEXT,
        default="X-Real-IP",
        proof=SEEN,
    ),
    _row(
        "real_ip_recursive",
        "Whether the last address that is not trusted is the client's.",
        kind=Kind.FLAG,
        default="off",
        proof=SEEN,
    ),
)

LOGS: tuple[Row, ...] = (
    _row(
        "access_log",
        "The file that gets one line for each request, and its format; or `off`.",
        args="1+",
        default="logs/access.log combined",
        proof="tests/config/test_http.py::test_requests_are_logged_unless_off",
    ),
    _row(
        "error_log",
        "Where messages go, `stderr` or a file, and from which level on.",
        args="1+",
        default="logs/error.log error",
        proof="tests/config/test_http.py::test_the_innermost_error_log_counts",
    ),
    _row(
        "open_log_file_cache",
        "How many files stay open of access logs whose path has variables.",
        args="1,2,3,4",
        default="off",
        proof="tests/config/test_http.py::test_files_of_named_logs_stay_open",
    ),
    _row(
        "log_format",
        "Names a form of line for access logs.",
        contexts=HTTP,
        args="2+",
        default="combined",
        proof="tests/config/test_http.py::test_a_format_has_variables_of_http",
    ),
)

# What stream has, too, by the contexts that it has there.
_PLACES = {
    ("stream",): HTTP,
    ("stream", "stream.server"): ALL,
}


def _also(rows: tuple[Row, ...], places: dict[tuple[str, ...], tuple[str, ...]]) -> list[Row]:
    return [replace(row, contexts=places[row.contexts]) for row in rows if row.contexts in places]


# nginx has these in stream alone: http has other time-outs, and says itself what it speaks.
_TLS_OF_STREAM = ("ssl_handshake_timeout", "ssl_alpn", "proxy_ssl", "proxy_ssl_alpn")
_TLS = tuple(row for row in grammar_ssl.ROWS if row.name not in _TLS_OF_STREAM)

SHARED: tuple[Row, ...] = (
    *_also(grammar_access.ROWS, _PLACES),
    *_also(grammar_variables.ROWS, _PLACES),
    *_also(
        tuple(row for row in _TLS if row.name.startswith("ssl_")),
        {("stream", "stream.server"): SERVERS},
    ),
    *_also(tuple(row for row in _TLS if row.name.startswith("proxy_")), _PLACES),
)

ROWS: tuple[Row, ...] = (
    *BLOCKS,
    *CLIENTS,
    *ANSWERS,
    *RULES,
    *LOGS,
    *SHARED,
    *grammar_http_proxy.ROWS,
    *grammar_http_without.ROWS,
)
