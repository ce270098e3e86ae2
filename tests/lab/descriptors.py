"""Which descriptors this process has open, so that a test can say that nothing was left behind."""

import gc
import os
from contextlib import suppress


def open_descriptors() -> set[tuple[str, str]]:
    """Descriptors and what they lead to; two sockets never lead to the same.

    Compare by `<=`: what an earlier test left to the garbage collector may go at any time.
    """
    gc.collect()
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one of the listing itself
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return found
