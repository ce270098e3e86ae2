"""The name under which `ps` and `top` show a process."""

from __future__ import annotations

import contextlib

# Linux keeps 15 characters.
MASTER = "tidegate master"
WORKER = "tidegate worker"
CONTROL = "tidegate ctrl"


def set_title(name: str) -> None:
    """Take the name; where /proc cannot be written, nothing happens."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(name)
