"""Options that go together, and the plan that they make."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import click

from tidegate.bench.options import PORTS

if TYPE_CHECKING:
    from tidegate.bench.options import Options
    from tidegate.bench.plan import Plan
    from tidegate.bench.secure import TlsOptions

# How long a run goes on after its last connect when nobody says.
AFTERWARDS = 30.0
# Its length is one byte (RFC 7301, 3.1).
LONGEST_ALPN = 256
# MQTTX's.
PATH = "/mqtt"


def plan_of(
    job: str,
    options: Options,
    *,
    seconds: float | None,
    connects_per_second: float | None = None,
    messages_per_second: float = 0,
    message_interval: float = 0,
    reconnect: bool = False,
) -> Plan:
    """The plan of these options; usage errors for those that do not go together.

    `message_interval` is in milliseconds, as are the options'.
    """
    from tidegate.bench.plan import Plan, fill  # noqa: PLC0415 not for --help

    tls = tls_of(options)
    check_login(options)
    if options["timeout"] <= 0:
        raise click.UsageError("--timeout 0: nothing would be in time")
    client_id = options["client_id"]
    if client_id is None:
        client_id = default_client_id()
    elif options["count"] > 1 and "%i" not in client_id:
        # As MQTTX: a broker ends all clients of one ID but the last.
        client_id += "_%i"
    topic, echo = options.get("topic", ""), options.get("echo", False)
    if job != "conn" and not echo:
        check_topic(job, fill(topic, 1, fill(client_id, 1), fill(options["username"] or "", 1)))
    return Plan(
        job=job,
        host=options["host"],
        port=options["port"] or PORTS[options["protocol"]],
        version=options["mqtt_version"],
        count=options["count"],
        client_id=client_id,
        username=options["username"],
        password=options["password"],
        keepalive=options["keepalive"],
        topic=topic,
        qos=options.get("qos", 0),
        payload=b"x" * options.get("payload_size", 0),
        echo=echo,
        reconnect=reconnect,
        connects_per_second=connect_rate(options, connects_per_second),
        at_once=options["at_once"],
        messages_per_second=messages_per_second,
        message_interval=message_interval / 1000,
        reconnect_period=options["reconnect_period"] / 1000,
        reconnect_times=options["maximum_reconnect_times"],
        limit=options.get("limit", 0),
        seconds=seconds,
        timeout=options["timeout"],
        sources=options["sources"],
        tls=tls,
        path=path_of(options),
    )


def default_client_id() -> str:
    """A pattern with a random part, so that two runs do not end each other's clients.

    MQTT 3.1 allows 23 characters: these are filled with seven digits of number.
    """
    return f"tidegate-{secrets.token_hex(3)}-%i"


def connect_rate(options: Options, rate: float | None = None) -> float:
    """Connects per second, as --rate or -i says; 0 is as fast as can be."""
    if rate is not None:
        return rate
    return 1000 / options["interval"] if options["interval"] else 0


def run_time(given: float | None, options: Options, *, rate: float | None = None) -> float:
    """How long a run lasts: as given, or AFTERWARDS from the last connect."""
    if given is not None:
        return given
    per_second = connect_rate(options, rate)
    return (options["count"] / per_second if per_second else 0) + AFTERWARDS


def tls_of(options: Options) -> TlsOptions | None:
    """TLS where the protocol has it; usage errors for options that do not go together."""
    from tidegate.bench.secure import TlsOptions  # noqa: PLC0415 not for --help

    protocol = options["protocol"]
    secure = protocol in {"mqtts", "wss"}
    check_meaning(options, protocol, secure=secure)
    if not secure:
        return None
    if (options["cert"] is None) != (options["key"] is None):
        raise click.UsageError("--cert and --key go together")
    if options["insecure"] and options["ca"] is not None:
        raise click.UsageError("--ca means nothing with --insecure")
    if not all(0 < len(one.encode()) < LONGEST_ALPN for one in options["alpn"]):
        raise click.UsageError("--alpn: a protocol's name has from 1 to 255 bytes")
    return TlsOptions(
        ca=options["ca"],
        cert=options["cert"],
        key=options["key"],
        insecure=options["insecure"],
        name=options["sni"],
        version=options["tls_version"],
        alpn=options["alpn"],
        reuse=options["reuse_sessions"],
    )


def path_of(options: Options) -> str | None:
    """The path of the WebSocket; a usage error where it cannot stand in a request."""
    if options["protocol"] not in {"ws", "wss"}:
        return None
    path = options["path"]
    if path is None:
        return PATH
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        raise click.UsageError(f'--path "{path}": a path begins with / and has no spaces')
    return path


def check_meaning(options: Options, protocol: str, *, secure: bool) -> None:
    """A usage error for an option that the protocol has no use for."""
    given: dict[str, object] = {}
    if protocol not in {"ws", "wss"}:
        given["--path"] = options["path"]
    elif options.get("echo"):
        raise click.UsageError(f"--echo means nothing with -l {protocol}")
    if not secure:
        given |= {
            "--ca": options["ca"],
            "--cert": options["cert"],
            "--key": options["key"],
            "--insecure": options["insecure"],
            "--sni": options["sni"],
            "--tls-version": options["tls_version"],
            "--alpn": options["alpn"],
            "--reuse-sessions": options["reuse_sessions"],
        }
    for name, value in given.items():
        if value:
            raise click.UsageError(f"{name} means nothing with -l {protocol}")


def check_login(options: Options) -> None:
    """A usage error for a password alone where MQTT knows no such (3.1.1, 3.1.2.9)."""
    version = options["mqtt_version"]
    if options["password"] is not None and options["username"] is None and version != "5":
        raise click.UsageError(f"-P without -u: MQTT {version} knows no password without a user")


def check_topic(job: str, topic: str) -> None:
    """A usage error for what MQTT does not allow as a topic, or as a filter (5, 4.7)."""
    if not topic:
        raise click.UsageError('-t "": a topic has one character at least')
    if job == "sub":
        *before, last = topic.split("/")
        good = all(level == "+" or not {"+", "#"} & set(level) for level in before)
        if not good or (last not in {"+", "#"} and {"+", "#"} & set(last)):
            raise click.UsageError(
                f'-t "{topic}": + stands for a whole level, # for all levels at the end'
            )
    elif {"+", "#"} & set(topic):
        raise click.UsageError(f'-t "{topic}": what is published has no + and no # in its topic')
