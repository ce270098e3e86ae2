"""Take the lock of the zone behind a descriptor, and obey words on stdin."""

# ruff: noqa: T201 - what a program says to the test that started it

import ctypes
import errno
import sys

from tidegate.scoreboard.zone import Zone

libc = ctypes.CDLL(None)
zone = Zone.attach(int(sys.argv[1]), worker=50)
mutex = ctypes.c_void_p(zone._mutex_address())  # noqa: SLF001 - made for this
print(errno.errorcode.get(libc.pthread_mutex_lock(mutex), "held"), flush=True)
for line in sys.stdin:
    assert line == "let go\n"
    print(libc.pthread_mutex_unlock(mutex), flush=True)
