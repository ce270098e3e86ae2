"""Kill a worker after each machine instruction that it does with a table's lock, and look at it.

    kill_in_a_table.py first|full|again|moves|touch|old|sweep|find [STRIDE [FIRST]]

As `kill_in_a_zone.py` for zones. Afterwards the table is as before the action or as after it, or
has only lost what had to go for it; its order is whole, and not one cell is lost.
"""

# ruff: noqa: T201 - what a program says to the test that started it

import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import count

import traced

from tidegate.scoreboard.learned import RECORD, Learned

HOUR = 3600
OLD = [b"old%d" % number for number in range(5)]
KEYS = [b"a", b"b", b"c", b"new", b"l" * 27, b"n" * 26, *OLD]
action = sys.argv[1]
stride, first = map(int, (sys.argv[2:] + ["1", "0"][len(sys.argv) - 2 :])[:2])


class Scene:
    """A small table, whose cells were used before."""

    def __init__(self) -> None:
        self.table = Learned.create(4096)
        self.doomed, self.survivor = (Learned.attach(self.table.fd) for _ in range(2))
        for number, key in enumerate(OLD, start=1):
            self.survivor.learn(key, number, timeout=HOUR)
        if action not in ("old", "sweep"):
            self.survivor.sweep(0)
        if action == "full":
            for number in range(self.table.cells - 4):
                self.survivor.learn(b"fill%d" % number, 7, timeout=HOUR)
        for key in (b"a", b"b", b"l" * 27, b"c"):
            self.survivor.learn(key, 1 << 40, timeout=HOUR)

    def act(self) -> Callable[[], object]:
        doomed = self.doomed
        return {
            "first": partial(doomed.learn, b"n" * 26, 1 << 33, timeout=HOUR),
            "full": partial(doomed.learn, b"new", 1 << 33, timeout=HOUR),
            "again": partial(doomed.learn, b"b", 1 << 40, timeout=HOUR),
            "moves": partial(doomed.learn, b"b", 1 << 33, timeout=HOUR),
            "touch": partial(doomed.touch, b"a", 1 << 40),
            "old": partial(doomed.learn, b"new", 1 << 33, timeout=0),
            "sweep": partial(doomed.sweep, 0),
            "find": partial(doomed.find, b"a", HOUR),
        }[action]

    def state(self) -> tuple[list[int], list[bytes]]:
        return [self.survivor.find(key, HOUR) for key in KEYS], self.survivor.order()

    def wrong(self) -> list[str]:
        """What is wrong with the table afterwards."""
        table, found = self.table, []
        order = table.order()
        if len(order) != table.entries or len(set(order)) != len(order):
            found.append(f"{table.entries} entries, in order {order}")
        records, entry = b"", 1
        while entry:
            piece, entry = table.part(entry)
            records += piece
        if len(records) != table.entries * RECORD:
            found.append(f"{table.entries} entries, {len(records) // RECORD} records")
        self.survivor.sweep(0)
        if table.entries or table.order():
            found.append(f"{table.entries} entries do not go")
        keys = [number.to_bytes(4, "big") for number in range(table.cells)]
        before = table.dropped
        for key in keys:
            self.survivor.learn(key, 9, timeout=HOUR)
        if table.order() != keys[::-1] or table.dropped != before:
            found.append(f"{table.entries} of {table.cells} cells can be had")
        return found


def between(now: tuple[list[int], list[bytes]]) -> bool:
    """Whether the table is on the way: the oldest are gone, one after the other."""
    if action not in ("full", "old", "sweep"):
        return False
    order = before[1]
    return any(now[1] == order[: len(order) - gone] for gone in range(1, len(order) + 1))


traced.prepare()
before, scene = Scene().state(), Scene()
scene.act()()
after = scene.state()
assert before != after or action == "find"
kills = deaths = 0
problems: list[str] = []
for steps in count(first, stride):
    scene = Scene()
    mutex = scene.table._mutex_address()  # noqa: SLF001 - made for this
    done = traced.kill_after(steps, scene.act(), mutex)
    now = scene.state()
    if now not in (before, after) and not between(now):
        problems.append(f"after {steps}: {now}, allowed are {before} and {after}")
    problems += [f"after {steps}: {one}" for one in scene.wrong()]
    deaths += scene.table.deaths
    kills += 1
    if done or problems:
        break
print(json.dumps({"kills": kills, "deaths": deaths, "problems": problems[:5]}))
