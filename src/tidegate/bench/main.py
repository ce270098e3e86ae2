"""The command `tidegate bench`: connections and messages as load for a broker or a balancer."""

from __future__ import annotations

import itertools
import json
import sys
from typing import TYPE_CHECKING, TypeVar, Unpack

import click

from tidegate.bench.checked import plan_of, run_time
from tidegate.bench.options import (
    Duration,
    Number,
    Options,
    load_options,
    message_options,
    target_options,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.bench.plan import Plan
    from tidegate.bench.result import Result

F = TypeVar("F", bound="Callable[..., object]")

# As MQTTX: every client publishes once a second when nobody says how often.
MESSAGE_INTERVAL = 1000.0
# Of --rate, per second.
RATES = Number(0.001, 10_000_000)
LIMITS = click.IntRange(0, 2**62)


# -h is the host, as in MQTTX.
@click.group(context_settings={"help_option_names": ["--help"]})
def bench() -> None:
    """Load a broker or a balancer with MQTT connections and messages.

    Status lines go to stderr, the summary to stdout; Ctrl-C ends a run early and prints it too.
    Ends with 0 if nothing went wrong, else with 1.
    """


def for_option(text: str) -> Callable[[F], F]:
    """`--for` with its default said in words."""
    return click.option("--for", "for_", type=Duration(), metavar="TIME", help=text)


@bench.command()
@target_options
@load_options
@click.option("--rate", type=RATES, help="Connects per second, in place of -i.")
@click.option("--reconnect", is_flag=True, help="End each after its CONNACK and connect anew.")
@for_option("End after this time.  [default: at Ctrl-C; 30s after -c connects with --reconnect]")
def conn(
    *,
    rate: float | None,
    reconnect: bool,
    for_: float | None,
    json_: bool,
    **options: Unpack[Options],
) -> None:
    """Open connections and hold them.

    Example: tidegate bench conn -c 10
    """
    plan = plan_of(
        "conn",
        options,
        seconds=run_time(for_, options, rate=rate) if reconnect else for_,
        connects_per_second=rate,
        reconnect=reconnect,
    )
    carry_out(plan, as_json=json_)


@bench.command()
@target_options
@load_options
@message_options(topic="tidegate/bench/%i", size=True)
@click.option(
    "-im",
    "--message-interval",
    type=Number(0, 3_600_000),
    default=MESSAGE_INTERVAL,
    show_default=True,
    help="Milliseconds between two messages of a client; 0 is as fast as it can.",
)
@click.option("--rate", type=RATES, help="Messages per second of all, not -im.")
@click.option("-L", "--limit", type=LIMITS, default=0, help="Messages in all; 0: none.")
@for_option("End after this time.  [default: 30s after the last connect]")
def pub(
    *,
    message_interval: float,
    rate: float | None,
    for_: float | None,
    json_: bool,
    **options: Unpack[Options],
) -> None:
    """Publish messages; with QoS 1 and 2 a client has one on its way at a time.

    Example: tidegate bench pub -c 100 -t sensors/%i -s 1k --rate 5000
    """
    plan = plan_of(
        "pub",
        options,
        seconds=run_time(for_, options),
        messages_per_second=rate or 0,
        message_interval=0 if rate else message_interval,
    )
    carry_out(plan, as_json=json_)


@bench.command()
@target_options
@load_options
@message_options(topic="tidegate/bench/#", size=False)
@for_option("End after this time.  [default: at Ctrl-C]")
def sub(*, for_: float | None, json_: bool, **options: Unpack[Options]) -> None:
    """Subscribe and count what arrives.

    Example: tidegate bench sub -c 10 -t 'sensors/#'
    """
    carry_out(plan_of("sub", options, seconds=for_), as_json=json_)


@bench.command()
@target_options
@load_options
@message_options(topic="tidegate/bench/%c", size=True)
@click.option("--rate", type=RATES, help="Messages per second of all.")
@click.option("-L", "--limit", type=LIMITS, default=0, help="Messages in all; 0: none.")
@click.option("--echo", is_flag=True, hidden=True)
@for_option("End after this time.  [default: 30s after the last connect]")
def pingpong(
    *, rate: float | None, for_: float | None, json_: bool, **options: Unpack[Options]
) -> None:
    """Publish to a topic of one's own and time the way there and back.

    Each client sends its next message when the last one has come back, or by --rate. A message that
    had to wait for the one before it is timed from when it should have left.

    Example: tidegate bench pingpong -c 100 -q 1 -s 64 --for 10s
    """
    plan = plan_of(
        "pingpong",
        options,
        seconds=run_time(for_, options),
        messages_per_second=rate or 0,
    )
    first, *others = itertools.islice(plan.clients(), 2)
    if not plan.echo and [first.topic] == [other.topic for other in others]:
        raise click.UsageError(f'-t "{plan.topic}" is one topic for all: put %i or %c into it')
    carry_out(plan, as_json=json_)


def carry_out(plan: Plan, *, as_json: bool) -> None:
    """Run a plan, print its result and exit."""
    # Not for --help, nor for a usage error.
    from tidegate.bench.plan import PlanError  # noqa: PLC0415
    from tidegate.bench.run import run  # noqa: PLC0415

    try:
        result = run(plan)
    except PlanError as error:
        raise click.ClickException(str(error)) from None
    try:
        print_result(result, as_json=as_json)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise click.ClickException(f"cannot write the result: {error.strerror}") from None
    sys.exit(0 if result.good else 1)


def print_result(result: Result, *, as_json: bool) -> None:
    """To stdout."""
    from tidegate.bench import report  # noqa: PLC0415

    if as_json:
        click.echo(json.dumps(report.as_json(result), indent=2))
    else:
        click.echo(report.summary(result), nl=False)
