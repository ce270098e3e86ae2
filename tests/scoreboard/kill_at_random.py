"""Four workers choose and release as fast as they can; one after the other is killed.

Prints as JSON what the board counted in the end. Forks, so it is a program of its own.
"""

# ruff: noqa: T201 - what a program says to the test that started it

import json
import os
import random
import signal
import time

from tidegate.scoreboard.board import Board
from tidegate.scoreboard.group import Group, Slot

WORKERS = 4
KILLS = 150
WEIGHTS = 3, 2, 1

board = Board.create(workers=WORKERS, upstreams=1, peers=len(WEIGHTS))
board.reset_upstream(0)
slots = [
    Slot(row, weight=weight, max_conns=0, max_fails=1, fail_timeout=10, down=False, backup=False)
    for row, weight in enumerate(WEIGHTS)
]


def start(worker: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        group = Group(board, 0, worker, slots)
        while os.getppid() == conductor:
            for _ in range(1000):
                held = [group.pick_round_robin() for _ in range(3)]
                for index in held:
                    group.release(index, failed=False)
    finally:
        os._exit(1)


def kill(worker: int) -> None:
    os.kill(pids[worker], signal.SIGKILL)
    os.waitpid(pids[worker], 0)
    board.forget_worker(worker)


conductor = os.getpid()
pids = [start(worker) for worker in range(WORKERS)]
for _ in range(KILLS):
    time.sleep(random.uniform(0.001, 0.005))
    worker = random.randrange(WORKERS)
    kill(worker)
    pids[worker] = start(worker)
for worker in range(WORKERS):
    kill(worker)
rows = [board.peer_row(row) for row in range(len(WEIGHTS))]
print(
    json.dumps(
        {
            "selected": [row.selected for row in rows],
            "conns": [row.conns for row in rows],
            "deaths": board.upstream_row(0).deaths,
            "unlocked": board.upstream_row(0).unlocked,
        }
    )
)
