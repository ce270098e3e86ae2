"""Take the lock of the zone behind a descriptor, and hold it until killed."""

# ruff: noqa: T201 - what a program says to the test that started it

import ctypes
import sys

from tidegate.scoreboard.zone import Zone

libc = ctypes.CDLL(None)
zone = Zone.attach(int(sys.argv[1]), worker=50)
libc.pthread_mutex_lock(ctypes.c_void_p(zone._mutex_address()))  # noqa: SLF001 - made for this
print("held", flush=True)
sys.stdin.readline()
