"""The options of `tidegate bench`, under MQTTX's names."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, TypedDict, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., object]")

UNITS = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600}
SIZES = {"": 1, "k": 1024, "m": 1024**2}
# A payload is held once in memory; brokers refuse more than 256 MiB anyway.
LARGEST = 256 * 1024**2 - 1024
PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 8083, "wss": 8084}
# A day: what lasts longer is held until Ctrl-C.
LONGEST = 86_400.0


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
    sni: str | None
    tls_version: str | None
    alpn: tuple[str, ...]
    reuse_sessions: bool
    mqtt_version: str
    username: str | None
    password: str | None
    keepalive: int
    count: int
    interval: float
    at_once: int
    reconnect_period: float
    maximum_reconnect_times: int
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
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|)", str(value), re.ASCII)
        seconds = float(found[1]) * UNITS[found[2]] if found else math.inf
        if seconds > LONGEST:
            self.fail(f'"{value}" is no time such as 500ms, 30s or 5m, of 24h at most', param, ctx)
        return seconds


class Number(click.FloatRange):
    """A number in a range, which nan is not."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))  # type: ignore[arg-type]  # click: Any
        if not math.isfinite(number):
            self.fail(f'"{value}" is no number', param, ctx)
        return number


class Size(click.ParamType[int]):
    """A number of bytes such as 64, 100B, 64k, 1MB."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Bytes."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d{1,12})([km]?)b?", str(value).lower(), re.ASCII)
        if found is None or int(found[1]) * SIZES[found[2]] > LARGEST:
            self.fail(f'"{value}" is no size such as 64, 64k or 1MB, below 256 MB', param, ctx)
        return int(found[1]) * SIZES[found[2]]


def _apply(options: list[Callable[[F], F]], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def tls_options() -> list[Callable[[F], F]]:
    """How the way there is secured."""
    return [
        click.option(
            "--ca",
            type=click.Path(),
            help="Certificates to trust.  [default: those that this machine trusts]",
        ),
        click.option("--cert", type=click.Path(), help="Our certificate, its chain behind it."),
        click.option("--key", type=click.Path(), help="Its key."),
        click.option("--insecure", is_flag=True, help="Do not look at the target's certificate."),
        click.option(
            "--sni",
            metavar="NAME",
            help="Whom to ask for, and whose certificate it has to be.  [default: the host]",
        ),
        click.option(
            "--tls-version", type=click.Choice(["1.2", "1.3"]), help="Speak this version alone."
        ),
        click.option("--alpn", multiple=True, metavar="PROTOCOL", help="To offer; several times."),
        click.option(
            "--reuse-sessions",
            is_flag=True,
            help="A client that connects again takes up its TLS session.",
        ),
    ]


def target_options(command: F) -> F:
    """Where to, and as whom."""
    return _apply(
        [
            click.option("-h", "--host", default="localhost", show_default=True),
            click.option(
                "-p",
                "--port",
                type=click.IntRange(1, 65535),
                help="By protocol: 1883 for mqtt, 8883 for mqtts, 8083 for ws, 8084 for wss.",
            ),
            click.option(
                "-l",
                "--protocol",
                type=click.Choice(list(PORTS)),
                default="mqtt",
                show_default=True,
                help="MQTT itself, through TLS, through WebSocket, through both.",
            ),
            click.option("--path", help="Of the WebSocket.  [default: /mqtt]"),
            *tls_options(),
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
                type=Number(0, 3_600_000),
                default=10,
                show_default=True,
                help="Milliseconds between two connects.",
            ),
            click.option(
                "--at-once",
                type=click.IntRange(1, 1_000_000),
                default=100,
                show_default=True,
                help="Connections on their way at the same time.",
            ),
            click.option(
                "-I",
                "--client-id",
                help="%i is the connection's number; without it, _ and the number follow."
                "  [default: one with a random part]",
            ),
            click.option(
                "-rp",
                "--reconnect-period",
                type=Number(0, 3_600_000),
                default=1000,
                show_default=True,
                help="Milliseconds until a client that was lost connects again; 0 is never.",
            ),
            click.option(
                "--maximum-reconnect-times",
                type=click.IntRange(0, 65535),
                default=10,
                show_default=True,
                help="Tries to return in a row.",
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
                help="%i is the connection's number, %c its client ID, %u its user name.",
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
