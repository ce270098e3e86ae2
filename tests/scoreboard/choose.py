"""Choose so many times as one worker of weights 3, 2, 1, and print what was chosen."""

# ruff: noqa: T201 - what a program says to the test that started it

import sys

from tidegate.scoreboard.board import Board
from tidegate.scoreboard.group import Group, Slot

fd, worker, count = map(int, sys.argv[1:])
slots = [
    Slot(row, weight=3 - row, max_conns=0, max_fails=1, fail_timeout=10, down=False, backup=False)
    for row in range(3)
]
group = Group(Board.attach(fd), 0, worker, slots)
print("ready", flush=True)
sys.stdin.readline()
chosen = [0, 0, 0]
for _ in range(count):
    chosen[group.pick_round_robin()] += 1
print(*chosen)
