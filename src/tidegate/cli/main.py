"""The command `tidegate`: nginx's switches at the root, verbs beside them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tidegate.cli.paths import make_room, paths
from tidegate.cli.switches import SIGNALS, Switches, UsageError, parse
from tidegate.cli.terminal import FAILED, say
from tidegate.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

HELP = """\
Usage: tidegate [-?hvVtTq] [-s signal] [-p prefix]
                [-e filename] [-c filename] [-g directives]
       tidegate VERB [options]

Options:
  -?,-h         : this help
  -v            : show version and exit
  -V            : show version and configure options then exit
  -t            : test configuration and exit
  -T            : test configuration, dump it and exit
  -q            : suppress non-error messages during configuration testing
  -s signal     : send signal to a master process: stop, quit, reopen, reload
  -p prefix     : set prefix path (default: {prefix}/)
  -e filename   : set error log file (default: {error_log})
  -c filename   : set configuration file (default: {conf})
  -g directives : set global directives out of configuration file

Without -s, -t or -T tidegate starts, in the background unless the configuration says "daemon off".
The master's process number is in {pid}, unless "pid" names another file.

Verbs:
{verbs}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; returns the exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words and not words[0].startswith("-") and words[0] not in SIGNALS:
        from tidegate.cli.verbs import run_verb  # noqa: PLC0415 click is for verbs alone

        return run_verb(words)
    try:
        switches = parse(words)
    except UsageError as error:
        say(f"tidegate: {error}")
        return FAILED
    if switches.flags & {"h", "?", "v", "V"}:
        _introduce(switches)
        if not switches.tests:
            return 0
    return _with_configuration(switches)


def _introduce(switches: Switches) -> None:
    say(f"tidegate version: tidegate/{VERSION}")
    places = paths(prefix=switches.prefix)
    if switches.flags & {"h", "?"}:
        from tidegate.cli.verbs import summary  # noqa: PLC0415 click is for verbs alone

        say(
            HELP.format(
                prefix=places.prefix,
                error_log=places.error_log,
                conf=places.conf,
                pid=places.pid,
                verbs=summary(),
            )
        )
    if "V" in switches.flags:
        python = ".".join(map(str, sys.version_info[:3]))
        say(f"built for Python {python}, engine: compiled, epoll")
        say(
            f"defaults: --prefix={places.prefix} --conf-path={places.conf}"
            f" --pid-path={places.pid} --error-log-path={places.error_log}"
        )


def _with_configuration(switches: Switches) -> int:
    # Imported here, as none of it is needed to show a version.
    from tidegate.cli.reading import load  # noqa: PLC0415

    places = paths(prefix=switches.prefix)
    if switches.tests:
        from tidegate.cli.check import render_dump, render_test  # noqa: PLC0415
        from tidegate.config.places import with_places_tried  # noqa: PLC0415

        loaded = with_places_tried(
            load(switches, places), made=(places.pid, places.error_log, places.access_log)
        )
        said = render_test(loaded, quiet="q" in switches.flags)
        if said:
            say(said.rstrip("\n"))
        if loaded.model is None:
            return FAILED
        if "T" in switches.flags:
            # Files may hold bytes that are no text; they go out as they came in.
            sys.stdout.buffer.write(render_dump(loaded).encode("utf-8", "surrogateescape"))
        return 0
    if switches.signal is not None:
        from tidegate.cli.send import signal_running  # noqa: PLC0415

        return signal_running(switches, places)
    from tidegate.cli.start import start  # noqa: PLC0415

    make_room(places.error_log)
    make_room(places.pid)
    make_room(os.path.join(places.prefix, ""))
    return start(lambda: load(switches, places))


if __name__ == "__main__":
    sys.exit(main())
