"""The model on its way to the children: pickled into a sealed memfd.

Downwards only. What a child says is JSON, never pickle.
"""

from __future__ import annotations

import fcntl
import os
import pickle
from typing import TYPE_CHECKING

from tidegate.dataclasses import dataclass

if TYPE_CHECKING:
    from tidegate.balance.placement import Placement
    from tidegate.config.model import Model

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """One generation of the configuration, with the scoreboard rows that were given to it.

    `local` is the path of the socket where the control process serves content of our own; "" is
    where a configuration has none.
    """

    generation: int
    model: Model
    placement: Placement
    local: str = ""


def seal(handover: Handover) -> int:
    """Put `handover` into a descriptor that nobody can change any more; the caller closes it."""
    return sealed("tidegate: model", pickle.dumps(handover, protocol=pickle.HIGHEST_PROTOCOL))


def sealed(name: str, data: bytes) -> int:
    """A descriptor with `data` that nobody can change any more; the caller closes it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def unseal(fd: int) -> Handover:
    """Take out what `seal` put into `fd`, and close it; ValueError if it is not sealed."""
    with open(fd, "rb"):
        if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALS != SEALS:
            raise ValueError("the model is not sealed")
        # All children share the offset of the file.
        handover = pickle.loads(os.pread(fd, os.fstat(fd).st_size, 0))  # noqa: S301 made by the master
    assert isinstance(handover, Handover)
    return handover
