"""Kill a worker after each machine instruction that it does with the mutex, and look at the board.

    kill_at_every_instruction.py ACTION [STRIDE [FIRST]]

ACTION is pick, least, soonest, times, slow, return, fail or forget.

A forked worker is stepped (ptrace) until it holds the mutex, then n instructions further, then
killed; n grows from FIRST (0) by STRIDE (1) until the mutex was given back and a little beyond.
Prints as JSON how many were killed, how many died with the mutex, and what was wrong afterwards.
"""

# ruff: noqa: T201 - what a program says to the test that started it

import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import count

import traced

from tidegate.scoreboard.board import Board
from tidegate.scoreboard.group import Group, Slot

WEIGHTS = 3, 2, 1
ROUND = "ABACBA" * 4
DOOMED, SURVIVOR = 0, 1
action = sys.argv[1]
stride, first = map(int, (sys.argv[2:] + ["1", "0"][len(sys.argv) - 2 :])[:2])

BY_TIME = action in {"soonest", "times"}
ORDERS: list[str] = []
board = Board.create(workers=2, upstreams=1, peers=len(WEIGHTS))
SLOW = action in {"slow", "return"}  # the last one comes back by and by, chosen by least_conn
slots = [
    Slot(
        row,
        weight=weight,
        max_conns=0,
        max_fails=1,
        fail_timeout=10,
        down=False,
        backup=False,
        slow_start=20_000 * SLOW,
    )
    for row, weight in enumerate(WEIGHTS)
]


def begin() -> list[Group]:
    """As at the start: each worker has chosen twice, the round stands at its fifth place."""
    board.reset_upstream(0)
    for row in range(len(WEIGHTS)):
        board.reset_peer(row)
    groups = [Group(board, 0, worker, slots) for worker in (DOOMED, SURVIVOR)]
    for group in (*groups, *groups):
        group.clock = 1000
        group.clock_ms = 1_000_000
        group.pick_round_robin()
    if BY_TIME:
        # Each average is to move: of all peers somebody is under way, and some time is known.
        for row in (2, 1, 0):
            groups[SURVIVOR].note_times(row, connect=90 + row, first_byte=90, last_byte=-1)
            groups[SURVIVOR].pick_least_time(1, inflight=True)
        groups[DOOMED].clock_ms = 1_000_200
    if SLOW:
        come_back(groups)
    return groups


def come_back(groups: list[Group]) -> None:
    """The last peer fails and is asked again; halfway on its way back is when `slow` happens."""
    groups[SURVIVOR].release(2, failed=False)
    for row in (0, 1) * 4:
        groups[SURVIVOR].pick_this(row)
    groups[DOOMED].pick_this(2)
    groups[DOOMED].release(2, failed=True)
    for group in groups:
        group.clock = 1020
    groups[DOOMED].pick_this(2)
    if action == "slow":
        groups[DOOMED].connected(2)
        for group in groups:
            group.clock = 1030


def action_of(group: Group) -> Callable[[], object]:
    return {
        "pick": group.pick_round_robin,
        "least": group.pick_least_conn,
        "soonest": partial(group.pick_least_time, 1, inflight=True),
        "times": partial(group.note_times, 0, connect=300, first_byte=7, last_byte=0),
        "slow": group.pick_least_conn,
        "return": partial(group.connected, 2),
        "fail": partial(group.release, 0, failed=True),
        "forget": partial(board.forget_worker, SURVIVOR),
    }[action]


def state() -> list[tuple[int, ...]]:
    rows = [board.peer_row(row) for row in range(len(WEIGHTS))]
    return [
        (
            *(r.conns, r.selected, r.fails, r.total_fails, r.checked, r.accessed, r.early_closes),
            *(r.connect_ms, r.first_byte_ms, r.last_byte_ms, r.inflight_ms, r.inflight, r.back),
        )
        for r in rows
    ]


def forgotten(*workers: int) -> list[tuple[int, ...]]:
    for worker in workers:
        board.forget_worker(worker)
    return state()


def allowed() -> list[list[tuple[int, ...]]]:
    """The board as nothing, or as all of the action has happened, when the dead are forgotten.

    By time and with `slow_start` the round goes on from where the action left it; `ORDERS` are what
    follows either.
    """
    groups = begin()
    dead = (DOOMED, SURVIVOR) if action == "forget" else (DOOMED,)
    before = forgotten(*dead)
    ORDERS.append(order(groups[SURVIVOR]))
    groups = begin()
    action_of(groups[DOOMED])()
    after = forgotten(*dead)
    ORDERS.append(order(groups[SURVIVOR]))
    return [before, after]


def order(group: Group) -> str:
    """Whom the next ones come to."""
    if SLOW:
        return least(group)
    return "".join("ABC"[group.pick_round_robin()] for _ in range(12))


def least(group: Group) -> str:
    """The last peer, empty, whenever its credit lets it: that tells of what no row shows."""
    group.clock = 1030
    found = ""
    for _ in range(24):
        found += "ABC"[group.pick_least_conn()]
        if found[-1] == "C":
            group.release(2, failed=False)
    return found


def kill_after(steps: int, outcomes: list[list[tuple[int, ...]]]) -> tuple[bool, list[str]]:
    """Whether the mutex was given back before the end, and what is wrong afterwards."""
    groups = begin()
    mutex = board._mutex_address(0)  # noqa: SLF001 - made for this
    done = traced.kill_after(steps, action_of(groups[DOOMED]), mutex)
    dead = (DOOMED, SURVIVOR) if action == "forget" else (DOOMED,)
    now = forgotten(*dead)
    wrong = []
    if now not in outcomes:
        wrong.append(f"after {steps}: {now}, allowed are {outcomes}")
    # One peer alone has the fewest connections: choosing it leaves the round where it stands.
    chosen = sum(row[1] for row in (outcomes[0] if action == "least" else now))
    if action != "fail":
        follow = order(groups[SURVIVOR])
        expected = ROUND[chosen : chosen + 12]
        if (BY_TIME or SLOW) and not wrong:
            expected = ORDERS[outcomes.index(now)]
        if follow != expected:
            wrong.append(f"after {steps}: {follow} follow {chosen} choices")
    if board.upstream_row(0).unlocked:
        wrong.append(f"after {steps}: counted without the mutex")
    return done, wrong


traced.prepare()
outcomes = allowed()
assert outcomes[0] != outcomes[1] or action == "forget"
kills = deaths = 0
problems: list[str] = []
for steps in count(first, stride):
    done, wrong = kill_after(steps, outcomes)
    problems += wrong
    deaths += board.upstream_row(0).deaths
    kills += 1
    if done:
        break
print(json.dumps({"kills": kills, "deaths": deaths, "problems": problems[:5]}))
