"""The keys of TLS session tickets: made by the master, the same in all workers, changed in time.

A client that comes back with a ticket meets any worker, also after a reload. Who steals the keys
of today cannot read what was sent the day before yesterday: they are then gone everywhere.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tidegate.config.parts import tls_of_servers
from tidegate.process.handover import sealed

if TYPE_CHECKING:
    from tidegate.config.model import Model

# A name of 16 bytes, 32 for HMAC, 32 for AES: nginx's long form.
KEY_SIZE = 80

# The key in use and those before it: a ticket can be used for KEPT periods at least.
KEPT = 3

# A key makes tickets for as long as they hold (ssl_session_timeout), but from an hour to a day.
SHORTEST_SECONDS = 3_600
LONGEST_SECONDS = 86_400


class Tickets:
    """The keys now in use, the newest first."""

    def __init__(self) -> None:
        self._keys = [os.urandom(KEY_SIZE)]

    def change(self) -> None:
        """Make a new key, and forget the oldest."""
        self._keys = [os.urandom(KEY_SIZE), *self._keys][:KEPT]

    def sealed(self) -> int:
        """A descriptor with the keys, for workers; the caller closes it."""
        return sealed("tidegate: tickets", b"".join(self._keys))


def open_keys(fd: int) -> list[bytes]:
    """The keys in a descriptor that `Tickets.sealed` made; it is closed."""
    try:
        data = os.pread(fd, KEY_SIZE * KEPT, 0)
    finally:
        os.close(fd)
    return [data[at : at + KEY_SIZE] for at in range(0, len(data), KEY_SIZE)]


def period_of(model: Model) -> int:
    """Seconds after which the key of new tickets changes."""
    times = [tls.session_timeout for tls in tls_of_servers(model)]
    return min(max([SHORTEST_SECONDS, *times]), LONGEST_SECONDS)
