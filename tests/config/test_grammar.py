"""The table of directives is complete, and true."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tidegate.config import grammar_http, grammar_ssl
from tidegate.config.build_main import HANDLERS
from tidegate.config.grammar import TABLE, find, names_in, rows_of
from tidegate.config.row import ANYWHERE, CONTEXTS, FREE, Kind, Status
from tidegate.config.scope import convert

ROOT = Path(__file__).parents[2]
HERE = [row for row in TABLE if row.status is Status.HERE]
OPENED = {"events", "stream", "http"}

# The directives of the foundation: each does what nginx does.
FOUNDATION = [
    "user",
    "worker_processes",
    "worker_rlimit_nofile",
    "worker_priority",
    "worker_shutdown_timeout",
    "pid",
    "error_log",
    "daemon",
    "master_process",
    "env",
    "include",
    "events",
    "worker_connections",
    "stream",
    "server",
    "listen",
    "tcp_nodelay",
    "proxy_pass",
    "proxy_connect_timeout",
    "proxy_timeout",
    "proxy_buffer_size",
    "proxy_protocol",
    "proxy_bind",
    "proxy_next_upstream",
    "proxy_next_upstream_tries",
    "proxy_next_upstream_timeout",
    "proxy_socket_keepalive",
    "proxy_half_close",
    "proxy_session_drop",
    "proxy_upload_rate",
    "proxy_download_rate",
    "upstream",
    "zone",
    "access_log",
    "log_format",
    "return",
    "server_name",
    "pass",
]

# Ways to choose a node.
METHODS = ["hash", "ip_hash", "least_conn", "least_time", "random", "sticky"]

# How and when lines are written.
LOGS = ["open_log_file_cache"]
# Who is let in, and how many.
ACCESS = [
    "allow",
    "deny",
    "limit_conn_zone",
    "limit_conn",
    "limit_conn_log_level",
    "limit_conn_dry_run",
]

# What looks into MQTT.
MQTT = [
    "preread_buffer_size",
    "preread_timeout",
    "ssl_preread",
    "mqtt_preread",
    "mqtt",
    "mqtt_set_connect",
    "mqtt_buffers",
    "mqtt_rewrite_buffer_size",
    "mqtt_keepalive_timeout",
    "mqtt_next_upstream",
    "mqtt_connack_timeout",
    "mqtt_require",
]

# What defines variables.
VARIABLES = ["map", "geo", "split_clients", "set"]

# Whom a client says to be, before it says anything else.
REAL_IP = ["proxy_protocol_timeout", "set_real_ip_from"]


# What http has besides.
HTTP = ["http", *(row.name for row in grammar_http.ROWS if row.status is Status.HERE)]

# What makes TLS; each has a test of two values in tests/e2e.
SSL = [row.name for row in grammar_ssl.HERE]


def test_no_directive_has_two_rows_for_one_context():
    places = Counter((row.name, context) for row in TABLE for context in row.contexts)
    assert [place for place, count in places.items() if count > 1] == []


def test_every_context_is_known_and_can_be_entered():
    opened = {row.opens for row in TABLE if row.opens}
    for row in TABLE:
        assert row.contexts == ANYWHERE or set(row.contexts) <= set(CONTEXTS)
        assert row.opens in ("", FREE) or row.opens in CONTEXTS
    assert set(CONTEXTS) - opened == {"main"}


def test_all_directives_that_work_are_here():
    groups = (FOUNDATION, METHODS, LOGS, ACCESS, MQTT, VARIABLES, REAL_IP, SSL, HTTP)
    assert {row.name for row in HERE} == {name for group in groups for name in group}


@pytest.mark.parametrize("row", HERE, ids=lambda row: f"{row.name}-{row.contexts[0]}")
def test_a_row_that_is_here_is_described_and_read(row):
    assert row.doc.endswith(".")
    if row.name == "include":
        return  # the parser's own
    for context in row.contexts:
        handled = (context, row.name) in HANDLERS
        assert handled or row.kind is not Kind.SPECIAL
    if row.default is not None and row.kind is not Kind.SPECIAL:
        assert convert(row.kind, row.default) is not None


@pytest.mark.parametrize(
    "row",
    [row for row in TABLE if row.status in (Status.IGNORED, Status.LATER, Status.REFUSED)],
    ids=lambda row: f"{row.name}-{row.contexts[0]}",
)
def test_a_row_that_is_not_here_says_why(row):
    assert row.reason
    assert not row.proof


def test_every_handler_has_its_row():
    for context, name in HANDLERS:
        assert find(name, context) is not None, (context, name)


@pytest.mark.parametrize("row", HERE, ids=lambda row: f"{row.name}-{row.contexts[0]}")
def test_a_row_names_the_test_that_proves_it(row):
    """The test shows two values of the directive behaving differently."""
    file, *names = row.proof.split("::")
    scope = ast.parse((ROOT / file).read_text())
    for name in names:
        found = [node for node in scope.body if getattr(node, "name", None) == name]
        assert found, row.proof
        scope = found[0]
    assert isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef)
    assert scope.name.startswith("test_")


def test_a_directive_is_found_by_its_place():
    assert find("server", "stream").opens == "stream.server"
    assert find("server", "stream.upstream").opens == ""
    assert find("server", "http").opens == "http.server"
    assert find("server", "main") is None
    assert len(rows_of("server")) == 4
    assert "proxy_pass" in names_in("stream.server")
    assert "proxy_pass" not in names_in("stream")
