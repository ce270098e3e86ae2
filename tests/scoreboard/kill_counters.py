"""Four workers count in a zone as fast as they can; one after the other is killed.

Prints as JSON what was seen, and what the zone holds in the end. Forks, so it is a program of its
own.
"""

# ruff: noqa: T201 - what a program says to the test that started it

import json
import os
import random
import signal
import time

from tidegate.scoreboard.zone import Zone

WORKERS = 4
KILLS = 120
MOST = 7
KEYS = [b"a", b"b" * 44, b"c" * 200, b"d", b"e" * 48]

zone = Zone.create(8192)


def start(worker: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        mine = Zone.attach(zone.fd, worker=worker)
        chance = random.Random(os.getpid())
        held: list[int] = []
        while os.getppid() == conductor:
            for _ in range(1000):
                if held and chance.random() < 0.5:
                    mine.give_back(held.pop(chance.randrange(len(held))))
                    continue
                entry = mine.take(chance.choice(KEYS), MOST)
                if entry > 0:
                    held.append(entry)
    finally:
        os._exit(1)


def kill(worker: int) -> None:
    os.kill(pids[worker], signal.SIGKILL)
    os.waitpid(pids[worker], 0)
    assert zone.forget_worker(worker)


conductor = os.getpid()
pids = [start(worker) for worker in range(WORKERS)]
most = 0
for _ in range(KILLS):
    time.sleep(random.uniform(0.001, 0.005))
    worker = random.randrange(WORKERS)
    kill(worker)
    pids[worker] = start(worker)
    most = max(most, *map(zone.count, KEYS))
for worker in range(WORKERS):
    kill(worker)
print(json.dumps({"most": most, "keys": zone.keys, "used": zone.used, "deaths": zone.deaths}))
