"""The verbs: `tidegate run`, `check`, `demo`, `version`. Usage errors end with status 2."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

import click

from tidegate.cli.paths import make_room, paths
from tidegate.cli.switches import SIGNALS, Switches
from tidegate.cli.terminal import say
from tidegate.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = 2
INTERRUPTED = 130

# Verbs that bring much with them live elsewhere and are imported when they are asked for.
ELSEWHERE = {
    "ctl": ("tidegate.cli.ctl", "Ask a running instance: status, upstreams, reload."),
    "bench": ("tidegate.bench.main", "Load a broker or a balancer with MQTT clients."),
    "demo": ("tidegate.demo.main", "Ten MQTT clients on three brokers, balanced here."),
}


class Verbs(click.Group):
    """A group whose verbs may live elsewhere, and which guesses what a mistyped one meant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, by name."""
        return sorted([*super().list_commands(ctx), *ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb, imported if need be; None if there is none of that name."""
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        command = getattr(importlib.import_module(ELSEWHERE[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; a usage error names the nearest one."""
        if args[0] not in self.list_commands(ctx):
            from difflib import get_close_matches  # noqa: PLC0415 only for who mistyped

            near = get_close_matches(args[0], [*self.list_commands(ctx), *SIGNALS], n=1)
            guess = f', did you mean "{near[0]}"?' if near else ""
            ctx.fail(f'there is no verb "{args[0]}"{guess}')
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
def verbs() -> None:
    """Balance MQTT connections as an nginx.conf says. `tidegate -h` shows nginx's switches."""


@verbs.command()
@click.option("-c", "conf", metavar="FILE", help="The configuration.")
@click.option("-p", "prefix", metavar="DIR", help="What relative names in it are relative to.")
@click.option("-g", "directives", metavar="TEXT", help="Directives that go before it.")
@click.option("-e", "error_log", metavar="FILE", help="The error log, unless it names one.")
def run(conf: str | None, prefix: str | None, directives: str | None, error_log: str | None) -> int:
    """Start and stay in front, messages on stderr; Ctrl-C stops.

    Example: tidegate run -c examples/round-robin.conf
    """
    from tidegate.cli.reading import load  # noqa: PLC0415 no other verb needs these
    from tidegate.cli.start import start  # noqa: PLC0415

    switches = Switches(
        conf=conf,
        prefix=prefix,
        error_log=error_log or "stderr",
        directives=() if directives is None else (directives,),
    )
    places = paths(prefix=prefix)
    make_room(places.pid)
    make_room(os.path.join(places.prefix, ""))
    return start(lambda: load(switches, places), in_front=True)


@verbs.command()
@click.argument("file", required=False)
@click.option("-p", "prefix", metavar="DIR", help="What relative names in it are relative to.")
def check(file: str | None, prefix: str | None) -> int:
    """Read FILE and report every problem at once. Ends with 1 if it cannot be used.

    Example: tidegate check /etc/nginx/nginx.conf
    """
    from tidegate.cli.check import render_check  # noqa: PLC0415 no other verb needs these
    from tidegate.cli.reading import load  # noqa: PLC0415

    loaded = load(Switches(conf=file, prefix=prefix), paths(prefix=prefix))
    click.echo(render_check(loaded), nl=False)
    return 0 if loaded.model is not None else 1


@verbs.command()
def version() -> None:
    """Show the versions of what runs here."""
    python = ".".join(map(str, sys.version_info[:3]))
    click.echo(f"tidegate {VERSION}\nPython {python}\nengine: compiled, epoll")


def run_verb(words: Sequence[str]) -> int:
    """Run the verb that `words` begin with; returns the exit status."""
    try:
        status = verbs.main(list(words), prog_name="tidegate", standalone_mode=False)
    except click.UsageError as error:
        where, helps = "tidegate", "-h"
        if error.ctx is not None:
            where, helps = error.ctx.command_path, error.ctx.help_option_names[0]
        say(f"tidegate: {error.format_message()}")
        say(f"try `{where} {helps}`")
        return USAGE
    except click.ClickException as error:
        say(f"tidegate: {error.format_message()}")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return status if isinstance(status, int) else 0


def summary() -> str:
    """One line for each verb, for `-h`."""
    context = click.Context(verbs)
    rows = []
    for name in verbs.list_commands(context):
        if name in ELSEWHERE:
            text = ELSEWHERE[name][1]
        else:
            command = verbs.get_command(context, name)
            text = command.get_short_help_str(70) if command is not None else ""
        rows.append(f"  {name:<13} : {text}")
    return "\n".join(rows)
