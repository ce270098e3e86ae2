"""Take the mutex of upstream 0 of the board behind a descriptor, and obey words on stdin."""

# ruff: noqa: T201 - what a program says to the test that started it

import ctypes
import errno
import sys

from tidegate.scoreboard.board import Board

libc = ctypes.CDLL(None)
board = Board.attach(int(sys.argv[1]))
mutex = ctypes.c_void_p(board._mutex_address(0))  # noqa: SLF001 - made for this
outcome = libc.pthread_mutex_lock(mutex)
print(errno.errorcode.get(outcome, "held"), flush=True)
for line in sys.stdin:
    assert line == "let go\n"
    print(libc.pthread_mutex_unlock(mutex), flush=True)
