"""Kill a worker after each machine instruction that it does with a cache's lock, and look at it.

    kill_in_a_cache.py keep|full|again|wrap|forget|find [STRIDE [FIRST]]

As `kill_in_a_zone.py` for zones. Afterwards the cache is as before the action, as after it, or has
lost what had to make room for it; and it takes and gives as ever.
"""

# ruff: noqa: T201 - what a program says to the test that started it

import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import count

import traced

from tidegate.scoreboard.cache import Cache

DATA = b"d" * 150  # an item has 192 bytes with it
LONG = b"l" * 1000
action = sys.argv[1]
stride, first = map(int, (sys.argv[2:] + ["1", "0"][len(sys.argv) - 2 :])[:2])


class Scene:
    """A small cache, as full as the action needs it."""

    def __init__(self) -> None:
        self.cache = Cache.create(4096)
        self.doomed, self.survivor = (Cache.attach(self.cache.fd) for _ in range(2))
        self.keys = [b"a", b"b", b"new"]
        self.keys += [b"old%d" % number for number in range(40 if action != "keep" else 3)]
        for key in self.keys[3:]:
            self.survivor.keep(key, DATA, seconds=100)
        for key in (b"a", b"b"):
            self.survivor.keep(key, key * 50, seconds=100)
        if action == "wrap":
            # The lap ends within the next item.
            while self.cache._lap_left() >= len(LONG):  # noqa: SLF001 - made for this
                self.survivor.keep(b"fill", b"", seconds=100)

    def act(self) -> Callable[[], object]:
        return {
            "keep": partial(self.doomed.keep, b"new", DATA, seconds=100),
            "full": partial(self.doomed.keep, b"new", LONG, seconds=100),
            "again": partial(self.doomed.keep, b"a", DATA, seconds=100),
            "wrap": partial(self.doomed.keep, b"new", LONG, seconds=100),
            "forget": partial(self.doomed.forget, b"a"),
            "find": partial(self.doomed.find, b"a"),
        }[action]

    def state(self) -> dict[bytes, bytes | None]:
        return {key: self.survivor.find(key) for key in self.keys}

    def wrong(self) -> list[str]:
        """What does not work afterwards."""
        found = []
        for number in range(100):
            key = b"after%d" % number
            if not self.survivor.keep(key, key * 9, seconds=100):
                found.append(f"{key!r} is not kept")
            elif self.cache.find(key) != key * 9:
                found.append(f"{key!r} is not found")
        if not 0 < self.cache.items < 100:
            found.append(f"{self.cache.items} items are left")
        return found


traced.prepare()
before, scene = Scene().state(), Scene()
scene.act()()
after = scene.state()
assert before != after or action == "find"
kills = deaths = 0
problems: list[str] = []
for steps in count(first, stride):
    scene = Scene()
    mutex = scene.cache._mutex_address()  # noqa: SLF001 - made for this
    done = traced.kill_after(steps, scene.act(), mutex)
    now = scene.state()
    # On the way to room for the new one the oldest may be gone already.
    bad = [
        key
        for key in now
        if now[key] not in (before[key], after[key])
        or (key == b"a" and action == "again" and now[key] is None)
    ]
    if bad:
        problems.append(f"after {steps}: {bad}")
    problems += [f"after {steps}: {one}" for one in scene.wrong()]
    deaths += scene.cache.deaths
    kills += 1
    if done or problems:
        break
print(json.dumps({"kills": kills, "deaths": deaths, "problems": problems[:5]}))
