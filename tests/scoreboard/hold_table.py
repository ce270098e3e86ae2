"""Take the lock of the table behind a descriptor, and keep it until stdin ends."""

# ruff: noqa: T201 - what a program says to the test that started it

import ctypes
import errno
import sys

from tidegate.scoreboard.learned import Learned

libc = ctypes.CDLL(None)
table = Learned.attach(int(sys.argv[1]))
mutex = ctypes.c_void_p(table._mutex_address())  # noqa: SLF001 - made for this
print(errno.errorcode.get(libc.pthread_mutex_lock(mutex), "held"), flush=True)
sys.stdin.read()
