"""Open so many sessions as one worker of an upstream, and print the peers that were picked.

    open_sessions.py FD WORKER SESSIONS

The first line of the input is the upstream and its placement, the second says when to begin.
"""

# ruff: noqa: T201 - what a program says to the test that started it

import pickle
import sys

from tidegate.balance.upstream import Attempt, place
from tidegate.scoreboard.board import Board

fd, worker, sessions = map(int, sys.argv[1:])
upstream, placement = pickle.loads(bytes.fromhex(sys.stdin.readline()))
ours = place(upstream, placement=placement, board=Board.attach(fd), worker=worker)
print("ready", flush=True)
sys.stdin.readline()
print(*(ours.pick(Attempt(b"%d-%d" % (worker, number))) for number in range(sessions)))
