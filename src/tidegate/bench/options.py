"""The options of `tidegate bench`, under MQTTX's names, and the plan that they make."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, TypedDict, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.bench.plan import Plan

F = TypeVar("F", bound="Callable[..., object]")

UNITS = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600}
SIZES = {"": 1, "k": 1024, "m": 1024**2}
# A payload is held once in memory; brokers refuse more than 256 MiB anyway.
LARGEST = 256 * 1024**2 - 1024
PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 8083, "wss": 8084}
# Not before the last connection is up: how long a run goes on when nobody says.
AFTERWARDS = 30.0


class Options(TypedDict, total=False):
    """What the command line says, by click's names; which are there depends on the verb."""

    host: str
    port: int | None
    protocol: str
    path: str | None
    ca: str | None
    cert: str | None
    key: str | None
    insecure: bool
    mqtt_version: str
    username: str | None
    password: str | None
    keepalive: int
    count: int
    interval: float
    client_id: str | None
    sources: tuple[str, ...]
    timeout: float
    topic: str
    qos: int
    payload_size: int
    limit: int
    echo: bool


class Duration(click.ParamType[float]):
    """A time such as 500ms, 30s, 5m; without a unit in seconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", str(value))
        if found is None:
            self.fail(f'"{value}" is no time such as 500ms, 30s or 5m', param, ctx)
        return float(found[1]) * UNITS[found[2]]


class Size(click.ParamType[int]):
    """A number of bytes such as 64, 100B, 64k, 1MB."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+)([km]?)b?", str(value).lower())
        if found is None or int(found[1]) * SIZES[found[2]] > LARGEST:
            self.fail(f'"{value}" is no size such as 64, 64k or 1MB, below 256 MB', param, ctx)
        return int(found[1]) * SIZES[found[2]]


def _apply(options: list[Callable[[F], F]], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def target_options(command: F) -> F:
    """Where to, and as whom."""
    return _apply(
        [
            click.option("-h", "--host", default="localhost", show_default=True),
            click.option(
                "-p", "--port", type=click.IntRange(1, 65535), help="By protocol: 1883 for mqtt."
            ),
            click.option(
                "-l",
                "--protocol",
                type=click.Choice(list(PORTS)),
                default="mqtt",
                show_default=True,
                help="Only mqtt works so far.",
            ),
            click.option("--path", help="Of the WebSocket; see -l."),
            click.option("--ca", type=click.Path(), help="Certificates to trust; see -l."),
            click.option("--cert", type=click.Path(), help="Our certificate; see -l."),
            click.option("--key", type=click.Path(), help="Its key; see -l."),
            click.option("--insecure", is_flag=True, help="Trust any certificate; see -l."),
            click.option(
                "-V",
                "--mqtt-version",
                type=click.Choice(["3.1", "3.1.1", "5"]),
                default="5",
                show_default=True,
            ),
            click.option("-u", "--username", help="May contain %i and %c."),
            click.option(
                "-P",
                "--password",
                envvar="TIDEGATE_BENCH_PASSWORD",
                help="Better in the environment: TIDEGATE_BENCH_PASSWORD.",
            ),
            click.option(
                "-k",
                "--keepalive",
                type=click.IntRange(0, 65535),
                default=60,
                show_default=True,
                help="Seconds; 0 is none.",
            ),
        ],
        command,
    )


def load_options(command: F) -> F:
    """How much, how fast, how long."""
    return _apply(
        [
            click.option(
                "-c",
                "--count",
                type=click.IntRange(1, 10_000_000),
                default=1000,
                show_default=True,
                help="Connections.",
            ),
            click.option(
                "-i",
                "--interval",
                type=click.FloatRange(0, 3_600_000),
                default=10,
                show_default=True,
                help="Milliseconds between two connects.",
            ),
            click.option(
                "-I",
                "--client-id",
                help="%i is the connection's number.  [default: one with a random part]",
            ),
            click.option(
                "--source",
                "sources",
                multiple=True,
                metavar="ADDRESS",
                help="Local address to connect from; several are taken in turn.",
            ),
            click.option(
                "--timeout",
                type=Duration(),
                default="10s",
                show_default=True,
                help="For a connect, a CONNACK, an answer.",
            ),
            click.option("--json", "json_", is_flag=True, help="The result as JSON."),
        ],
        command,
    )


def message_options(*, topic: str, size: bool) -> Callable[[F], F]:
    """What is published or subscribed to; with `size` also how large."""

    def decorate(command: F) -> F:
        options: list[Callable[[F], F]] = [
            click.option(
                "-t",
                "--topic",
                default=topic,
                show_default=True,
                help="%i is the connection's number, %c its client ID.",
            ),
            click.option("-q", "--qos", type=click.IntRange(0, 2), default=0, show_default=True),
        ]
        if size:
            options.append(
                click.option(
                    "-s",
                    "--payload-size",
                    type=Size(),
                    default="64",
                    show_default=True,
                    help="Of a message, in bytes; 64k, 1MB.",
                )
            )
        return _apply(options, command)

    return decorate


def plan_of(
    job: str,
    options: Options,
    *,
    seconds: float | None,
    connects_per_second: float | None = None,
    messages_per_second: float = 0,
    reconnect: bool = False,
) -> Plan:
    """The plan of these options; usage errors for those that do not go together."""
    from tidegate.bench.plan import Plan  # noqa: PLC0415 not for --help

    check_protocol(options)
    client_id, count, interval = options["client_id"], options["count"], options["interval"]
    if client_id is not None and "%i" not in client_id and count > 1:
        raise click.UsageError(
            f'-I "{client_id}" gives {count} clients one ID, and a broker ends all but the last:'
            " put %i into it"
        )
    if connects_per_second is None:
        connects_per_second = 1000 / interval if interval else 0
    return Plan(
        job=job,
        host=options["host"],
        port=options["port"] or PORTS[options["protocol"]],
        version=options["mqtt_version"],
        count=count,
        client_id=client_id or default_client_id(),
        username=options["username"],
        password=options["password"],
        keepalive=options["keepalive"],
        topic=options.get("topic", ""),
        qos=options.get("qos", 0),
        payload=b"x" * options.get("payload_size", 0),
        echo=options.get("echo", False),
        reconnect=reconnect,
        connects_per_second=connects_per_second,
        messages_per_second=messages_per_second,
        limit=options.get("limit", 0),
        seconds=seconds,
        timeout=options["timeout"],
        sources=options["sources"],
    )


def default_client_id() -> str:
    """A pattern with a random part, so that two runs do not end each other's clients.

    MQTT 3.1 allows 23 characters: these are filled with seven digits of number.
    """
    return f"tidegate-{secrets.token_hex(3)}-%i"


def run_time(given: float | None, options: Options) -> float:
    """How long a run lasts: as given, or AFTERWARDS from the last connect."""
    return options["count"] * options["interval"] / 1000 + AFTERWARDS if given is None else given


def check_protocol(options: Options) -> None:
    """Usage errors for what waits for TLS and WebSocket."""
    protocol = options["protocol"]
    if protocol != "mqtt":
        raise click.UsageError(f"-l {protocol} does not work yet, only mqtt does")
    given = {
        "--path": options["path"],
        "--ca": options["ca"],
        "--cert": options["cert"],
        "--key": options["key"],
        "--insecure": options["insecure"],
    }
    for name, value in given.items():
        if value:
            raise click.UsageError(f"{name} means nothing with -l {protocol}")
