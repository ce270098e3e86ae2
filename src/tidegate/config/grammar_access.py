"""Directives that say who is let in, and how many at once."""

from __future__ import annotations

from tidegate.config.row import Kind, Row

BOTH = ("stream", "stream.server")

STREAM = "tests/stream/test_access.py::"

ROWS: tuple[Row, ...] = (
    Row(
        name="allow",
        contexts=BOTH,
        args="1",
        doc="Lets in clients of an address, a network, `unix:` or `all`.",
        proof=STREAM + "test_the_first_rule_that_fits_decides",
    ),
    Row(
        name="deny",
        contexts=BOTH,
        args="1",
        doc="Keeps out clients of an address, a network, `unix:` or `all`.",
        proof=STREAM + "test_the_first_rule_that_fits_decides",
    ),
    Row(
        name="limit_conn_zone",
        contexts=("stream",),
        args="2",
        doc="Shared memory in which connections are counted by a key.",
        proof=STREAM + "test_connections_are_counted_by_the_key_of_the_zone",
    ),
    Row(
        name="limit_conn",
        contexts=BOTH,
        args="2",
        doc="The most connections that a key of a zone may have at once.",
        proof=STREAM + "test_no_more_connections_than_the_limit",
    ),
    Row(
        name="limit_conn_log_level",
        contexts=BOTH,
        args="1",
        default="error",
        doc="The level at which the error log tells of clients over a limit.",
        proof=STREAM + "test_the_log_level_is_that_of_the_directive",
    ),
    Row(
        name="limit_conn_dry_run",
        contexts=BOTH,
        args="flag",
        kind=Kind.FLAG,
        default="off",
        doc="Whether limits are only told of, and nobody is refused.",
        proof=STREAM + "test_a_dry_run_refuses_nobody",
    ),
)
