"""Directives of the top level and of `events {}`."""

from __future__ import annotations

from tidegate.config.row import ANYWHERE, FREE, Kind, Row, Status

MAIN = ("main",)
EVENTS = ("events",)

TUNING = "the engine has no such setting"

START = "tests/process/test_start.py::"


def _ignored(name: str, args: str, reason: str, *, kind: Kind = Kind.SPECIAL) -> Row:
    contexts = MAIN
    return Row(
        name=name, contexts=contexts, args=args, kind=kind, status=Status.IGNORED, reason=reason
    )


def _ignored_event(name: str, args: str, *, kind: Kind = Kind.SPECIAL, reason: str = TUNING) -> Row:
    return Row(
        name=name, contexts=EVENTS, args=args, kind=kind, status=Status.IGNORED, reason=reason
    )


ROWS: tuple[Row, ...] = (
    Row(
        name="user",
        contexts=MAIN,
        args="1,2",
        default="nobody",
        doc="The user, and the group, as which workers run when the master is root.",
        proof=START + "test_workers_give_up_their_rights",
    ),
    Row(
        name="worker_processes",
        contexts=MAIN,
        args="1",
        default="1",
        doc="How many worker processes there are; `auto` is one for each CPU that we may use.",
        proof=START + "test_the_start_returns_when_every_worker_accepts",
    ),
    Row(
        name="worker_rlimit_nofile",
        contexts=MAIN,
        args="1",
        kind=Kind.NUMBER,
        doc="The limit of open descriptors of a worker.",
        proof=START + "test_limits_and_priority_reach_the_workers",
    ),
    Row(
        name="worker_priority",
        contexts=MAIN,
        args="1",
        default="0",
        doc="The nice value of workers, -20 to 20.",
        proof=START + "test_limits_and_priority_reach_the_workers",
    ),
    Row(
        name="worker_shutdown_timeout",
        contexts=MAIN,
        args="1",
        kind=Kind.TIME,
        doc="How long a worker that quits waits for its sessions to end.",
        proof="tests/process/test_stop.py::test_worker_shutdown_timeout_bounds_a_quit",
    ),
    Row(
        name="pid",
        contexts=MAIN,
        args="1",
        kind=Kind.TEXT,
        doc="The file that holds the process ID of the master.",
        proof=START + "test_the_pid_file_is_where_pid_says",
    ),
    Row(
        name="error_log",
        contexts=("main", "stream", "stream.server"),
        args="1+",
        default="logs/error.log error",
        doc="Where messages go, `stderr` or a file, and from which level on.",
        proof="tests/e2e/test_error_logs.py::test_the_innermost_log_gets_the_lines_of_a_session",
    ),
    Row(
        name="daemon",
        contexts=MAIN,
        args="flag",
        kind=Kind.FLAG,
        default="on",
        doc="Whether to go into the background.",
        proof=START + "test_daemon_decides_whether_the_terminal_waits",
    ),
    Row(
        name="master_process",
        contexts=MAIN,
        args="flag",
        kind=Kind.FLAG,
        default="on",
        doc="Whether workers are processes of their own.",
        proof=START + "test_without_a_master_process_one_worker_keeps_its_user",
    ),
    Row(
        name="env",
        contexts=MAIN,
        args="1",
        default="TZ",
        doc="An environment variable to keep, or to set, for workers.",
        proof=START + "test_workers_get_the_environment_that_env_names",
    ),
    Row(
        name="include",
        contexts=ANYWHERE,
        args="1",
        doc="Reads a file, or all files that a mask matches, in this place.",
        proof="tests/config/test_include.py::test_a_mask_reads_all_its_files_in_order",
    ),
    Row(
        name="events",
        contexts=MAIN,
        args="0",
        opens="events",
        doc="Settings of connection handling; the block must be there.",
        proof="tests/config/test_main.py::test_a_configuration_without_events_is_refused",
    ),
    Row(
        name="stream",
        contexts=MAIN,
        args="0",
        opens="stream",
        doc="Servers for TCP, and MQTT in it.",
        proof="tests/config/test_stream.py::test_a_second_stream_is_merged_into_the_first",
    ),
    Row(
        name="http",
        contexts=MAIN,
        args="0",
        opens="http",
        doc="Servers for HTTP and WebSocket.",
        proof="tests/config/test_http.py::test_a_second_http_is_merged_into_the_first",
    ),
    Row(
        name="mail",
        contexts=MAIN,
        args="0",
        opens=FREE,
        status=Status.REFUSED,
        reason="tidegate does not proxy mail",
    ),
    Row(
        name="ssl_engine",
        contexts=MAIN,
        args="1",
        status=Status.LATER,
        reason="TLS comes later",
    ),
    _ignored("load_module", "1", "modules are not loaded, what tidegate does is built in"),
    _ignored("timer_resolution", "1", TUNING, kind=Kind.TIME),
    _ignored("lock_file", "1", "there is no accept mutex", kind=Kind.TEXT),
    _ignored("debug_points", "1", "it serves the debugging of nginx"),
    _ignored("worker_cpu_affinity", "1+", "the kernel chooses the CPU"),
    _ignored("worker_rlimit_core", "1", "workers never dump core", kind=Kind.OFFSET),
    _ignored("working_directory", "1", "workers never dump core", kind=Kind.TEXT),
    _ignored("pcre_jit", "flag", "there is no PCRE", kind=Kind.FLAG),
    _ignored("thread_pool", "2,3", "there are no thread pools"),
    Row(
        name="worker_connections",
        contexts=EVENTS,
        args="1",
        default="512",
        doc="How many connections a worker may have, those to brokers counted too.",
        proof="tests/e2e/test_the_descriptor_limit.py::test_worker_connections_counts_both_ends",
    ),
    _ignored_event("multi_accept", "flag", kind=Kind.FLAG, reason="a worker takes what waits"),
    _ignored_event("use", "1", reason="epoll is always used"),
    _ignored_event("accept_mutex", "flag", kind=Kind.FLAG),
    _ignored_event("accept_mutex_delay", "1", kind=Kind.TIME),
    _ignored_event("debug_connection", "1"),
    _ignored_event("epoll_events", "1", kind=Kind.NUMBER),
    _ignored_event("worker_aio_requests", "1", kind=Kind.NUMBER),
)
