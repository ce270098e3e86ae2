"""Count in a zone when told to: `count_in_zone.py FD WORKER LIMIT TRIES`; prints what it got."""

# ruff: noqa: T201 - what a program says to the test that started it

import sys

from tidegate.scoreboard.zone import Zone

fd, worker, limit, tries = map(int, sys.argv[1:])
zone = Zone.attach(fd, worker=worker)
print("ready", flush=True)
sys.stdin.readline()
got = []
for number in range(tries):
    entry = zone.take(b"key", limit)
    if entry > 0:
        got.append(entry)
    if number % 3 == 0 and got:
        zone.give_back(got.pop())
while len(got) < limit and (entry := zone.take(b"key", limit)) > 0:
    got.append(entry)
print(len(got), flush=True)
sys.stdin.readline()
for entry in got:
    zone.give_back(entry)
