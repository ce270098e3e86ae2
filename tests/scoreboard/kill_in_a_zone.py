"""Kill a worker after each machine instruction that it does with a zone's lock, and look at it.

    kill_in_a_zone.py first|long|more|grow|less|last|forget [STRIDE [FIRST]]

As `kill_at_every_instruction.py` for the board. Afterwards the zone is as before the action or as
after it, and not one cell is lost.
"""

# ruff: noqa: T201 - what a program says to the test that started it

import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import count

import traced

from tidegate.scoreboard.zone import NO_ROOM, Zone

DOOMED, SURVIVOR = 0, 1
LONG = b"long" * 50  # five cells
TIGHT = b"t" * 44  # with one worker's count it fills its cell
KEYS = [b"a", b"b", b"ours", TIGHT, LONG, b"new", b"new" * 50]
action = sys.argv[1]
stride, first = map(int, (sys.argv[2:] + ["1", "0"][len(sys.argv) - 2 :])[:2])


class Scene:
    """A small zone whose cells were used before, and two workers."""

    def __init__(self) -> None:
        self.zone = Zone.create(8192)
        self.doomed, self.survivor = (
            Zone.attach(self.zone.fd, worker=worker) for worker in (DOOMED, SURVIVOR)
        )
        old = [self.survivor.take(b"old%d" % number, 1) for number in range(9)]
        for key in (b"a", b"b", TIGHT, b"ours"):
            self.survivor.take(key, 9)
        self.entry = self.doomed.take(LONG, 9)
        self.ours = [self.doomed.take(b"ours", 9) for _ in range(2)]
        for entry in old:
            self.survivor.give_back(entry)

    def act(self) -> Callable[[], object]:
        return {
            "first": partial(self.doomed.take, b"new", 9),
            "long": partial(self.doomed.take, b"new" * 50, 9),
            "more": partial(self.doomed.take, b"ours", 9),
            "grow": partial(self.doomed.take, TIGHT, 9),
            "less": partial(self.doomed.give_back, self.ours[0]),
            "last": partial(self.doomed.give_back, self.entry),
            "forget": partial(self.zone.forget_worker, SURVIVOR),
        }[action]

    def state(self) -> list[int]:
        zone = self.zone
        return [*(zone.count(key) for key in KEYS), zone.keys, zone.used]

    def lost(self) -> list[str]:
        """What is wrong with the cells once both workers are gone."""
        zone, wrong = self.zone, []
        for worker in (DOOMED, SURVIVOR):
            zone.forget_worker(worker)
        if (zone.keys, zone.used) != (0, 0):
            wrong.append(f"{zone.keys} keys in {zone.used} cells are left")
        for _ in range(2):
            entries = []
            while len(entries) <= zone.cells:
                entry = self.survivor.take(len(entries).to_bytes(4, "big"), 1)
                if entry == NO_ROOM:
                    break
                entries.append(entry)
            if sorted(entries) != list(range(1, zone.cells + 1)):
                wrong.append(f"{len(set(entries))} of {zone.cells} cells can be had")
            for entry in entries:
                self.survivor.give_back(entry)
        return wrong


traced.prepare()
before, scene = Scene().state(), Scene()
scene.act()()
allowed = [before, scene.state()]
kills = deaths = 0
problems: list[str] = []
for steps in count(first, stride):
    scene = Scene()
    mutex = scene.zone._mutex_address()  # noqa: SLF001 - made for this
    done = traced.kill_after(steps, scene.act(), mutex)
    now = scene.state()
    if action == "forget":
        # A sweep goes from entry to entry, so it may have come half way.
        fits = all(max(a, b) >= n >= min(a, b) for n, a, b in zip(now, *allowed, strict=True))
    else:
        fits = now in allowed
    if not fits:
        problems.append(f"after {steps}: {now}, allowed are {allowed}")
    problems += [f"after {steps}: {one}" for one in scene.lost()]
    deaths += scene.zone.deaths
    kills += 1
    if done or problems:
        break
print(json.dumps({"kills": kills, "deaths": deaths, "problems": problems[:5]}))
