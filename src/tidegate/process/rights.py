"""What a worker may do and have: user and group, limits, priority."""

from __future__ import annotations

import grp
import os
import pwd
import resource
from typing import TYPE_CHECKING

from tidegate.process.errors import StartError, failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.config.model import Model


# For what a worker opens now and then: the model and the logs of a new configuration, a source
# file for a traceback.
SPARE_DESCRIPTORS = 24


def restrict(model: Model, *, report: Callable[[str], None]) -> None:
    """Take on the limits and the user of `model`.

    To be called when everything that needs the master's rights (imports from private folders too)
    is done. A limit or a priority that is refused goes to `report`, as in nginx; a user that we
    cannot become raises StartError.
    """
    # A core file would hold what the clients sent, and later the keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Raising these needs the rights that go with the user.
    if model.worker_rlimit_nofile is not None:
        _limit_files(model.worker_rlimit_nofile, report)
    if model.worker_priority:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, model.worker_priority)
        except OSError as error:
            report(failed(f"setpriority({model.worker_priority})", error))
    # nginx's single process keeps its user, too.
    if os.geteuid() == 0 and model.user is not None and model.master_process:
        _become(model.user, model.group, keeps_raw=model.transparent)


def _limit_files(number: int, report: Callable[[str], None]) -> None:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))
    except (OSError, ValueError):
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        reached = min(number, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (reached, hard))
        report(
            f"setrlimit(RLIMIT_NOFILE, {number}) failed (1: Operation not permitted); "
            f"the limit is {reached} now"
        )


def _become(user: str, group: str | None, *, keeps_raw: bool) -> None:
    """Change to a user for good; with `keeps_raw` CAP_NET_RAW stays."""
    try:
        entry = pwd.getpwnam(user)
        gid = entry.pw_gid if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        raise StartError(f'there is no user "{user}" or no group "{group}"') from None
    try:
        os.initgroups(user, gid)
        os.setgid(gid)
        if keeps_raw:
            _set_uid_but_raw(entry.pw_uid)
        else:
            os.setuid(entry.pw_uid)
    except OSError as error:
        raise StartError(failed(f"setuid({entry.pw_uid})", error)) from error


def _set_uid_but_raw(uid: int) -> None:
    from tidegate.process import capabilities  # noqa: PLC0415 - few need it, and it takes memory

    capabilities.keep_through_setuid()
    os.setuid(uid)
    try:
        capabilities.keep_net_raw()
    except PermissionError as error:
        mend = '"proxy_bind ... transparent" needs CAP_NET_RAW, which this process was not given'
        raise StartError(failed("capset()", error), mend) from error


def room_for_sockets() -> int:
    """How many sockets this process may open beside what it has, with some descriptors to spare."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft - len(os.listdir("/proc/self/fd")) - SPARE_DESCRIPTORS, 2)
