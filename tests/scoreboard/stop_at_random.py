"""A worker chooses as fast as it can and is stopped while it holds the mutex, again and again.

Each time another one chooses without the mutex. Prints as JSON the connections that the other
holds and those that the board counts. Forks, so it is a program of its own.
"""

# ruff: noqa: T201 - what a program says to the test that started it

import ctypes
import json
import os
import random
import signal
import time

from tidegate.scoreboard.board import Board
from tidegate.scoreboard.group import Group, Slot

CATCHES = 25
STOPPED, OTHER = 0, 1

board = Board.create(workers=2, upstreams=1, peers=1)
board.reset_upstream(0)
slots = [Slot(0, weight=1, max_conns=0, max_fails=1, fail_timeout=10, down=False, backup=False)]
mutex = ctypes.c_int.from_address(board._mutex_address(0))  # noqa: SLF001 - made for this


def choose_and_release() -> None:
    group = Group(board, 0, STOPPED, slots)
    while os.getppid() == conductor:
        for _ in range(1000):
            group.release(group.pick_round_robin(), failed=False)


def stop() -> None:
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)


conductor = os.getpid()
pid = os.fork()
if not pid:
    try:
        choose_and_release()
    finally:
        os._exit(1)
group = Group(board, 0, OTHER, slots)
held = 0
while held < CATCHES:
    time.sleep(random.uniform(0.0005, 0.0015))
    stop()
    if mutex.value:
        group.pick_round_robin()
        held += 1
    os.kill(pid, signal.SIGCONT)
while True:
    stop()
    if not mutex.value:
        break
    os.kill(pid, signal.SIGCONT)
group.pick_round_robin()
print(
    json.dumps({"held": held + 1, "counted": board.peer_row(0).conns, "unlocked": group.unlocked})
)
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
