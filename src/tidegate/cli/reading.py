"""Reading the configuration that the command line names."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from tidegate.config.load import load as read
from tidegate.config.urls import resolve_name
from tidegate.wire.address import Address

if TYPE_CHECKING:
    from tidegate.cli.paths import Paths
    from tidegate.cli.switches import Switches
    from tidegate.config.load import Loaded


STDERR = "/dev/stderr"  # which the log files know by this name


def load(switches: Switches, places: Paths, *, resolves: bool = True) -> Loaded:
    """Read the configuration that the switches name.

    A relative name is looked up in an explicit prefix, else where we are: nginx would look in the
    prefix that it was built with. Without `resolves` no host name is looked up, for those who only
    want to know the pid file.
    """
    conf = switches.conf or places.conf
    if switches.prefix is not None:
        conf = os.path.join(places.prefix, conf)
    error_log = switches.error_log or places.error_log
    return read(
        os.path.abspath(conf),
        prefix=places.prefix,
        globals_=switches.directives,
        error_log=STDERR if error_log == "stderr" else error_log,
        access_log=places.access_log,
        pid=places.pid,
        resolve=resolve_name if resolves else _unresolved,
    )


def _unresolved(_host: str, port: int) -> tuple[Address, ...]:
    return (Address(family=socket.AF_INET, host="127.0.0.1", port=port),)
