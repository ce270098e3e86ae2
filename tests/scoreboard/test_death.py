"""What the choices of all workers are worth when one of them is killed or does not run."""

from __future__ import annotations

import json
import random
import time

import pytest

from tidegate.scoreboard.group import Group

WEIGHTS = 3, 2, 1
PATIENCE = 0.010
PTRACE_REFUSED = 77


def assert_fair(selected, *, unlocked=0):
    """Each peer was chosen by its weight; a choice without the mutex may cost one more."""
    for count, weight in zip(selected, WEIGHTS, strict=True):
        assert abs(count - sum(selected) * weight / sum(WEIGHTS)) <= 1 + 2 * unlocked, selected


@pytest.fixture
def group(board, slot):
    return Group(board, 0, 0, [slot(row, weight) for row, weight in enumerate(WEIGHTS)])


@pytest.fixture
def holder(board, start):
    process = start("hold_mutex.py", board.fd, fds=(board.fd,))
    assert process.stdout.readline() == "held\n"
    return process


def let_go(process):
    process.stdin.write("let go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "0\n"


def kill(process):
    process.kill()
    process.wait()


def test_workers_at_the_same_time_choose_by_weight(board, start):
    workers = [start("choose.py", board.fd, worker, 3001, fds=(board.fd,)) for worker in range(4)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    chosen = [list(map(int, worker.stdout.read().split())) for worker in workers]
    selected = [board.peer_row(row).selected for row in range(3)]
    assert selected == [sum(counts) for counts in zip(*chosen, strict=True)]
    assert sum(selected) == 4 * 3001
    assert [board.peer_row(row).conns for row in range(3)] == selected
    assert_fair(selected, unlocked=board.upstream_row(0).unlocked)


def test_workers_killed_at_random_leave_the_choices_fair(start):
    output, _ = start("kill_at_random.py").communicate()
    counted = json.loads(output)
    assert counted["deaths"] > 0
    assert counted["conns"] == [0, 0, 0]
    assert_fair(counted["selected"], unlocked=counted["unlocked"])


def test_a_worker_stopped_in_the_middle_of_a_choice_leaves_the_counts_right(start):
    output, _ = start("stop_at_random.py").communicate()
    counted = json.loads(output)
    assert counted["unlocked"] == counted["held"] - 1
    assert counted["held"] <= counted["counted"] <= counted["held"] + 1


@pytest.mark.parametrize(
    "action", ["pick", "least", "soonest", "times", "slow", "return", "fail", "forget"]
)
def test_a_worker_may_be_killed_at_any_instruction(start, action):
    # A third of the instructions, and another third the next time: all of them take half a minute.
    process = start("kill_at_every_instruction.py", action, 3, random.randrange(3))
    output, _ = process.communicate()
    if process.returncode == PTRACE_REFUSED:
        pytest.skip("this system lets nobody trace a process")
    counted = json.loads(output)
    assert counted["problems"] == []
    assert counted["deaths"] > 30


def test_the_mutex_of_a_killed_worker_is_inherited(board, group, holder):
    kill(holder)
    assert "".join("ABC"[group.pick_round_robin()] for _ in range(6)) == "ABACBA"
    assert board.upstream_row(0).deaths == 1
    assert group.unlocked == 0


def test_behind_a_worker_that_does_not_run_sessions_wait_little(group, holder):
    began = time.monotonic()
    assert group.pick_round_robin() == 0
    waited = time.monotonic() - began
    assert PATIENCE <= waited < 50 * PATIENCE
    assert group.unlocked == 1
    assert holder.poll() is None


def test_what_was_counted_without_the_mutex_is_right_afterwards(board, group, holder):
    chosen = [group.pick_round_robin() for _ in range(6)]
    assert_fair([chosen.count(row) for row in range(3)])
    group.release(chosen[0], failed=True)
    group.connected(chosen[1])
    board.forget_worker(3)
    let_go(holder)
    assert group.unlocked == 8
    group.release(chosen[1], failed=False)
    assert group.unlocked == 8
    assert sum(board.peer_row(row).conns for row in range(3)) == 4
    assert board.peer_row(chosen[0]).fails == 1
    assert board.upstream_row(0).unlocked == 7


def test_a_dead_worker_is_forgotten_though_another_holds_the_mutex(board, slot, holder):
    group = Group(board, 0, 1, [slot(0), slot(1)])
    for _ in range(4):
        group.pick_round_robin()
    board.forget_worker(1)
    assert [board.peer_row(row).conns for row in range(2)] == [0, 0]
    let_go(holder)
    board.forget_worker(1)
    assert [board.peer_row(row).conns for row in range(2)] == [0, 0]


def test_a_mutex_that_an_heir_gave_back_unmended_is_made_anew(board, group, holder, start):
    kill(holder)
    heir = start("hold_mutex.py", board.fd, fds=(board.fd,))
    assert heir.stdout.readline() == "EOWNERDEAD\n"
    let_go(heir)
    third = start("hold_mutex.py", board.fd, fds=(board.fd,))
    assert third.stdout.readline() == "ENOTRECOVERABLE\n"
    assert "".join("ABC"[group.pick_round_robin()] for _ in range(6)) == "ABACBA"
    assert group.unlocked == 0
    last = start("hold_mutex.py", board.fd, fds=(board.fd,))
    assert last.stdout.readline() == "held\n"
    kill(last)
    group.pick_round_robin()
    assert board.upstream_row(0).deaths == 1
