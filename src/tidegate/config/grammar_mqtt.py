"""Directives of `stream {}` that look into a client's first bytes: TLS that passes, and MQTT."""

from __future__ import annotations

from tidegate.config.row import Kind, Row

SERVER = ("stream.server",)
BOTH = ("stream", "stream.server")

PROOFS = "tests/stream/test_directives.py"
LENGTH = "test_a_connect_may_be_as_long_as_the_directive_says"


def _row(
    name: str,
    doc: str,
    *,
    default: str | None,
    kind: Kind = Kind.SPECIAL,
    args: str = "1",
    contexts: tuple[str, ...] = BOTH,
    proof: str = "",
) -> Row:
    return Row(
        name=name,
        contexts=contexts,
        args=args,
        kind=kind,
        default=default,
        doc=doc,
        proof=proof if "::" in proof else f"{PROOFS}::{proof or f'test_{name}'}",
    )


ROWS: tuple[Row, ...] = (
    _row(
        "preread_buffer_size",
        "The most bytes of a client that are looked at before a broker is chosen.",
        kind=Kind.SIZE,
        default="16k",
        proof=LENGTH,
    ),
    _row(
        "preread_timeout",
        "How long a client may take to send the bytes that are looked at.",
        kind=Kind.TIME,
        default="30s",
    ),
    _row(
        "ssl_preread",
        "Whether the first bytes of TLS that passes unopened are read before the choice.",
        kind=Kind.FLAG,
        default="off",
        args="flag",
        proof="tests/e2e/test_tls_passes_by_name.py::test_ssl_preread",
    ),
    _row(
        "mqtt_preread",
        "Whether the CONNECT is read before a broker is chosen.",
        kind=Kind.FLAG,
        default="off",
        args="flag",
    ),
    _row(
        "mqtt",
        "Whether the CONNECT is read and may be rewritten.",
        kind=Kind.FLAG,
        default="off",
        args="flag",
    ),
    _row(
        "mqtt_set_connect",
        "Puts a text in the place of the CONNECT's clientid, username or password.",
        default=None,
        args="2,3",
        contexts=SERVER,
    ),
    _row(
        "mqtt_buffers",
        "With `mqtt on` a CONNECT may be as long as so many buffers of that size.",
        default="100 1k",
        args="2",
        proof=LENGTH,
    ),
    _row(
        "mqtt_rewrite_buffer_size",
        "Deprecated: the least length that a CONNECT may have with `mqtt on`.",
        default=None,
        contexts=SERVER,
        proof=LENGTH,
    ),
    _row(
        "mqtt_keepalive_timeout",
        "How often the keep alive of its CONNECT a client may be silent, or `off`.",
        default="1.5",
    ),
    _row(
        "mqtt_next_upstream",
        "The refusals of a CONNECT for which another broker is tried; also `error` and `timeout`.",
        default="off",
        args="1+",
    ),
    _row(
        "mqtt_connack_timeout",
        "How long a broker may take to answer a CONNECT that another broker could be sent.",
        kind=Kind.TIME,
        default="10s",
    ),
    _row(
        "mqtt_require",
        "Whether a client that does not begin with a valid CONNECT is refused.",
        kind=Kind.FLAG,
        default="off",
        args="flag",
    ),
)
