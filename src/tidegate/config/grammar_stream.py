"""Directives of `stream {}`."""

from __future__ import annotations

from functools import partial

from tidegate.config.row import FREE, Kind, Row, Status, later

STREAM = ("stream",)
SERVER = ("stream.server",)
BOTH = ("stream", "stream.server")
UPSTREAM = ("stream.upstream",)

E2E = "tests/e2e/"

NAMES = "computed variables come later"
HASHES = "there are no hash tables to size"
UDP = "it concerns UDP, which is not proxied"
RESOLVER = (
    'only servers with "resolve" are resolved, not what variables in "proxy_pass" say: '
    'write it in "stream" or "upstream"'
)


def _proxy(
    name: str, kind: Kind, default: str, doc: str, *, proof: str | None = None, args: str = "1"
) -> Row:
    return Row(
        name=name,
        contexts=BOTH,
        args=args,
        kind=kind,
        default=default,
        doc=doc,
        proof=proof and E2E + proof,
    )


def _ignored(
    name: str,
    args: str,
    reason: str,
    *,
    contexts: tuple[str, ...] = BOTH,
    kind: Kind = Kind.SPECIAL,
) -> Row:
    return Row(
        name=name, contexts=contexts, args=args, kind=kind, status=Status.IGNORED, reason=reason
    )


_later = partial(later, contexts=BOTH)


HERE: tuple[Row, ...] = (
    Row(
        name="server",
        contexts=STREAM,
        args="0",
        opens="stream.server",
        doc="Addresses to listen on, and what happens to their connections.",
        proof=E2E + "test_listens_are_as_asked.py::test_each_address_has_its_own_server",
    ),
    Row(
        name="listen",
        contexts=SERVER,
        args="1+",
        doc="An address and port, or `unix:` path, to accept connections on.",
        proof=E2E + "test_listens_are_as_asked.py::test_an_option_of_listen_reaches_the_socket",
    ),
    Row(
        name="server_name",
        contexts=SERVER,
        args="1+",
        default='""',
        doc="The names that clients of TLS ask for, among the servers of one address.",
        proof=E2E + "test_servers_by_name.py::test_server_name",
    ),
    _proxy(
        "proxy_protocol_timeout",
        Kind.TIME,
        "30s",
        "How long a client's PROXY protocol header may take to come.",
        proof="test_proxy_headers_are_read.py::test_a_header_may_take_proxy_protocol_timeout",
    ),
    Row(
        name="set_real_ip_from",
        contexts=BOTH,
        args="1",
        doc="Whose PROXY protocol header names the client: an address, a network, `unix:`.",
        proof="tests/stream/test_realip.py::test_only_those_trusted_name_the_client",
    ),
    Row(
        name="upstream",
        contexts=STREAM,
        args="1",
        opens="stream.upstream",
        doc="A group of brokers that `proxy_pass` can name.",
        proof=E2E + "test_each_server_has_its_own_way.py::test_proxy_pass_goes_where_it_says",
    ),
    Row(
        name="server",
        contexts=UPSTREAM,
        args="1+",
        doc="One broker of a group: weight, max_conns, max_fails, fail_timeout, slow_start, backup,"
        " down, resolve, service.",
        proof="tests/stream/test_session.py::test_nodes_take_turns_by_weight",
    ),
    Row(
        name="resolver",
        contexts=(*STREAM, *UPSTREAM),
        args="1+",
        doc="The name servers that are asked for servers with `resolve`.",
        proof=E2E + "test_names_that_move.py::test_the_nearest_resolver_is_asked",
    ),
    Row(
        name="resolver_timeout",
        contexts=(*STREAM, *UPSTREAM),
        args="1",
        kind=Kind.TIME,
        default="30s",
        doc="How long a name may take to be resolved.",
        proof="tests/process/test_dns_lookup.py::test_resolver_timeout_ends_a_lookup",
    ),
    Row(
        name="zone",
        contexts=UPSTREAM,
        args="1,2",
        doc="The shared memory of a group. Workers always choose together here; it is a name.",
        proof="tests/config/test_upstream.py::test_the_groups_of_a_zone_agree_on_its_size",
    ),
    Row(
        name="hash",
        contexts=UPSTREAM,
        args="1,2",
        doc="Chooses a broker by a text; `consistent` moves few clients when brokers change.",
        proof="tests/stream/test_directives.py::test_hash",
    ),
    Row(
        name="ip_hash",
        contexts=UPSTREAM,
        args="0",
        doc="Chooses a broker by the client's network, as nginx does in `http {}`.",
        proof="tests/stream/test_directives.py::test_ip_hash",
    ),
    Row(
        name="least_conn",
        contexts=UPSTREAM,
        args="0",
        doc="Chooses the broker with the fewest sessions for its weight.",
        proof="tests/stream/test_directives.py::test_least_conn",
    ),
    Row(
        name="least_time",
        contexts=UPSTREAM,
        args="1,2",
        doc="Chooses the broker that answers soonest, by averages and by what it has to do.",
        proof="tests/stream/test_directives.py::test_least_time",
    ),
    Row(
        name="random",
        contexts=UPSTREAM,
        args="0,1,2",
        doc="Chooses a broker at random; `two` takes the less loaded or quicker of two.",
        proof="tests/stream/test_directives.py::test_random",
    ),
    Row(
        name="sticky",
        contexts=UPSTREAM,
        args="2+",
        doc="Remembers which client belongs to which broker: `learn`, as in Angie.",
        proof=E2E + "test_sticky_learn.py::test_a_client_finds_its_node_from_another_address",
    ),
    Row(
        name="proxy_pass",
        contexts=SERVER,
        args="1",
        doc="Where connections go: a group, host:port, or `unix:` path.",
        proof=E2E + "test_each_server_has_its_own_way.py::test_proxy_pass_goes_where_it_says",
    ),
    Row(
        name="return",
        contexts=SERVER,
        args="1",
        doc="Sends a text to the client and closes.",
        proof=E2E + "test_each_server_has_its_own_way.py::test_return_says_its_text",
    ),
    Row(
        name="pass",
        contexts=SERVER,
        args="1",
        doc="Another `listen` of the configuration, whose server serves the connection.",
        proof=E2E + "test_passed_connections.py::test_pass",
    ),
    Row(
        name="proxy_bind",
        contexts=BOTH,
        args="1+",
        doc="Our address, or addresses in turn, on the way to brokers; `transparent`; or `off`.",
        proof=E2E + "test_proxy_bind.py::test_the_node_sees_the_address",
    ),
    _proxy(
        "proxy_connect_timeout",
        Kind.TIME,
        "60s",
        "How long a connect to a broker may take.",
        proof="test_a_dead_broker_is_skipped.py::test_a_connect_may_take_proxy_connect_timeout",
    ),
    _proxy(
        "proxy_timeout",
        Kind.TIME,
        "10m",
        "How long a session may be silent on both sides.",
        proof="test_limits_of_time_and_rate.py::test_a_silent_session_ends_after_proxy_timeout",
    ),
    _proxy(
        "proxy_buffer_size",
        Kind.SIZE,
        "16k",
        "The most bytes read at once from one side.",
        proof="test_sockets_are_as_asked.py::test_proxy_buffer_size_bounds_one_read",
    ),
    _proxy(
        "proxy_upload_rate",
        Kind.RATE,
        "0",
        "Bytes per second from a client; 0: no limit.",
        proof="test_limits_of_time_and_rate.py::test_a_rate_holds_one_direction_only",
    ),
    _proxy(
        "proxy_download_rate",
        Kind.RATE,
        "0",
        "Bytes per second to a client; 0: no limit.",
        proof="test_limits_of_time_and_rate.py::test_a_rate_holds_one_direction_only",
    ),
    _proxy(
        "proxy_next_upstream",
        Kind.FLAG,
        "on",
        "Whether another broker is tried when a connect fails.",
        args="flag",
        proof="test_a_dead_broker_is_skipped.py::test_next_upstream_off_ends_the_session",
    ),
    _proxy(
        "proxy_next_upstream_tries",
        Kind.NUMBER,
        "0",
        "The most brokers tried for one session; 0: all.",
        proof="test_a_dead_broker_is_skipped.py::test_next_upstream_tries_bound_the_search",
    ),
    _proxy(
        "proxy_next_upstream_timeout",
        Kind.TIME,
        "0",
        "How long brokers are tried for one session; 0: no limit.",
        proof="test_a_dead_broker_is_skipped.py::test_next_upstream_timeout_bounds_the_search",
    ),
    _proxy(
        "proxy_protocol",
        Kind.SPECIAL,
        "off",
        "Whether brokers are told who the client is by a PROXY protocol header, and its version.",
        proof="test_proxy_headers_are_read_by_others.py::test_the_header_is_version_1_and_comes_first",
    ),
    _proxy(
        "proxy_socket_keepalive",
        Kind.FLAG,
        "off",
        "Whether the kernel probes silent connections to brokers.",
        args="flag",
        proof="test_sockets_are_as_asked.py::test_proxy_socket_keepalive",
    ),
    _proxy(
        "proxy_half_close",
        Kind.FLAG,
        "off",
        "Whether the end of one side leaves the other direction open.",
        args="flag",
        proof="test_an_end_is_passed_on.py::test_on_lets_the_node_answer_after_the_clients_end",
    ),
    _proxy(
        "proxy_session_drop",
        Kind.FLAG,
        "off",
        "Whether a reload ends the sessions of brokers that it removes, or takes `down`.",
        args="flag",
        proof="test_sessions_of_removed_nodes.py::test_proxy_session_drop",
    ),
    _proxy(
        "tcp_nodelay",
        Kind.FLAG,
        "on",
        "Whether small pieces are sent at once (TCP_NODELAY).",
        args="flag",
        proof="test_sockets_are_as_asked.py::test_tcp_nodelay",
    ),
    Row(
        name="access_log",
        contexts=BOTH,
        args="1+",
        default="off",
        doc="The file that gets one line for each session, and its format.",
        proof=E2E + "test_access_logs.py::test_off_several_and_inherited_logs",
    ),
    Row(
        name="log_format",
        contexts=STREAM,
        args="2+",
        doc="Names a form of line for access logs.",
        proof=E2E + "test_access_logs.py::test_a_line_is_as_its_format_says",
    ),
    Row(
        name="open_log_file_cache",
        contexts=BOTH,
        args="1,2,3,4",
        default="off",
        doc="How many files stay open of access logs whose path has variables.",
        proof="tests/observe/test_named_log.py::test_open_log_file_cache_keeps_files_open",
    ),
)

IGNORED: tuple[Row, ...] = (
    _ignored("variables_hash_max_size", "1", HASHES, contexts=STREAM, kind=Kind.NUMBER),
    _ignored("variables_hash_bucket_size", "1", HASHES, contexts=STREAM, kind=Kind.NUMBER),
    _ignored("server_names_hash_max_size", "1", HASHES, contexts=STREAM, kind=Kind.NUMBER),
    _ignored("server_names_hash_bucket_size", "1", HASHES, contexts=STREAM, kind=Kind.NUMBER),
    _ignored("map_hash_max_size", "1", HASHES, contexts=STREAM, kind=Kind.NUMBER),
    _ignored("map_hash_bucket_size", "1", HASHES, contexts=STREAM, kind=Kind.NUMBER),
    _ignored("proxy_requests", "1", UDP, kind=Kind.NUMBER),
    _ignored("proxy_responses", "1", UDP, kind=Kind.NUMBER),
    _ignored("resolver", "1+", RESOLVER, contexts=SERVER),
    _ignored("resolver_timeout", "1", RESOLVER, contexts=SERVER, kind=Kind.TIME),
    _ignored("proxy_downstream_buffer", "1", 'use "proxy_buffer_size" instead', kind=Kind.SIZE),
    _ignored("proxy_upstream_buffer", "1", 'use "proxy_buffer_size" instead', kind=Kind.SIZE),
)

LATER: tuple[Row, ...] = (
    *_later("upstreams come from the configuration alone", "1", "state", contexts=UPSTREAM),
    *_later("active checks come later", "0+", "health_check", contexts=SERVER),
    *_later("active checks come later", "1", "health_check_timeout"),
    *_later("active checks come later", "1", "match", contexts=STREAM, opens=FREE),
    *_later(NAMES, "3+", "keyval", contexts=STREAM),
    *_later(NAMES, "1+", "keyval_zone", contexts=STREAM),
    *_later("it comes later", "flag", "proxy_bind_dynamic"),
    *_later("the kernel sizes these buffers", "1", "proxy_socket_rcvbuf proxy_socket_sndbuf"),
)

ROWS: tuple[Row, ...] = (*HERE, *IGNORED, *LATER)
