"""Free TCP ports, told apart between test runs that go on at the same time.

Ports come from below the kernel's ephemeral range, so that no outgoing connection takes one
between the choice and the bind. A byte-range lock on one file marks each as ours: it vanishes with
the process, whichever way that ends.
"""

import errno
import fcntl
import itertools
import os
import random
import socket
import tempfile

FIRST, LAST = 10_000, 32_000  # net.ipv4.ip_local_port_range starts at 32,768


class Ports:
    """Hands out ports; each is this process's alone until `close`."""

    def __init__(self):
        path = os.path.join(tempfile.gettempdir(), f"tidegate-test-ports-{os.getuid()}")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._given = set()
        self._next = random.randrange(FIRST, LAST)

    def free(self) -> int:
        """A port that nobody listens on and no other test run holds."""
        for offset in itertools.count():
            if offset == LAST - FIRST:
                raise RuntimeError(f"no free port between {FIRST} and {LAST}")
            port = FIRST + (self._next + offset - FIRST) % (LAST - FIRST)
            if port not in self._given and self._lock(port) and _unused(port):
                self._given.add(port)
                self._next = port + 1
                return port
        raise AssertionError

    def close(self):
        """Give all ports back."""
        os.close(self._file)

    def _lock(self, port) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EAGAIN}:
                return False
            raise
        return True


def _unused(port) -> bool:
    families = [(socket.AF_INET, "0.0.0.0")]
    if socket.has_ipv6:
        families.append((socket.AF_INET6, "::"))
    for family, host in families:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((host, port))
                probe.listen(1)
            except OSError:
                return False
    return True
