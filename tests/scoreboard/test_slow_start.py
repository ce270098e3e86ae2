"""When a peer comes back: what the board says of it."""

from __future__ import annotations

import pytest

from tidegate.scoreboard.group import Group

SLOW = 60_000


def begin(board, slots, now, worker=0):
    group = Group(board, 0, worker, slots, begins=False)
    group.clock = now
    group.begin()
    return group


def back(board, row):
    return board.peer_row(row).back // 1000


def fail_and_return(group, index, now):
    group.pick_this(index)
    group.release(index, failed=True)
    group.clock = now
    assert group.pick_this(index)
    group.release(index, failed=False)


def test_at_the_start_nobody_comes_back(board, slot):
    for worker in range(3):
        begin(board, [slot(0, slow_start=SLOW), slot(1, slow_start=SLOW)], 100 + worker, worker)
    assert [back(board, 0), back(board, 1)] == [0, 0]


def test_a_session_that_ends_well_brings_back_as_a_connect_does(board, slot):
    group = begin(board, [slot(0, slow_start=SLOW), slot(1)], 100)
    fail_and_return(group, 0, 120)
    assert back(board, 0) == 120


def test_without_slow_start_nothing_is_written(board, slot):
    group = begin(board, [slot(0), slot(1)], 100)
    fail_and_return(group, 0, 120)
    assert back(board, 0) == 0


def test_who_fails_again_begins_again(board, slot):
    group = begin(board, [slot(0, slow_start=SLOW), slot(1)], 100)
    fail_and_return(group, 0, 120)
    fail_and_return(group, 0, 140)
    assert back(board, 0) == 140


def test_a_peer_that_joins_comes_back_once_for_all_workers(board, slot):
    begin(board, [slot(0, slow_start=SLOW)], 100)
    both = [slot(0, slow_start=SLOW), slot(1, slow_start=SLOW)]
    for worker in range(2):
        begin(board, both, 200 + worker, worker)
    assert [back(board, 0), back(board, 1)] == [0, 200]


@pytest.mark.parametrize("before", [(), (2, 3)])
def test_peers_that_are_all_new_come_back_to_nobody(board, slot, before):
    begin(board, [slot(row) for row in before], 100)
    for worker in range(2):
        begin(board, [slot(row, slow_start=SLOW) for row in range(2)], 200 + worker, worker)
    assert [back(board, 0), back(board, 1)] == [0, 0]


def test_a_peer_that_is_no_longer_down_comes_back_once_for_all_workers(board, slot):
    begin(board, [slot(0), slot(1, slow_start=SLOW, down=True)], 100)
    for now in (200, 300):
        for worker in range(2):
            begin(board, [slot(0), slot(1, slow_start=SLOW)], now + worker, worker)
    assert [back(board, 0), back(board, 1)] == [0, 200]


@pytest.mark.parametrize("later", [10, 1000])
def test_a_reload_lets_it_go_on(board, slot, later):
    group = begin(board, [slot(0, slow_start=SLOW), slot(1)], 100)
    fail_and_return(group, 0, 120)
    begin(board, [slot(0, slow_start=SLOW), slot(1), slot(2)], 120 + later)
    assert back(board, 0) == 120


def test_a_longer_time_in_a_reload_takes_nothing_from_who_is_long_back(board, slot):
    group = begin(board, [slot(0, slow_start=SLOW), slot(1)], 100)
    fail_and_return(group, 0, 120)
    group.clock = 120 + SLOW // 1000
    group.pick_round_robin()
    assert back(board, 0) == 0


def test_least_time_gives_the_peer_that_it_knows_nothing_of_no_more_than_its_part(board, slot):
    group = begin(board, [slot(0), slot(1), slot(2, slow_start=SLOW)], 100)
    fail_and_return(group, 2, 120)
    for index in range(2):
        group.note_times(index, connect=40, first_byte=40, last_byte=40)
    group.clock = 120 + SLOW // 2000
    picks = [group.pick_least_time(1, inflight=False) for _ in range(100)]
    assert picks.count(2) == 20
    group.clock = 120 + SLOW // 1000
    assert [group.pick_least_time(1, inflight=False) for _ in range(5)] == [2] * 5


def test_a_row_that_another_peer_gets_has_nothing_of_it(board, slot):
    group = begin(board, [slot(0, slow_start=SLOW), slot(1)], 100)
    fail_and_return(group, 0, 120)
    board.reset_peer(0)
    assert back(board, 0) == 0


def test_what_is_counted_without_the_mutex_comes_back_too(board, slot, start):
    group = begin(board, [slot(0, slow_start=SLOW), slot(1, slow_start=SLOW)], 100)
    for index in range(2):
        group.pick_this(index)
        group.release(index, failed=True)
    group.clock = 120
    assert group.pick_this(0)
    assert group.pick_this(1)
    holder = start("hold_mutex.py", board.fd, fds=(board.fd,))
    assert holder.stdout.readline() == "held\n"
    group.connected(0)
    group.release(1, failed=False)
    assert group.unlocked == 2
    assert [back(board, 0), back(board, 1)] == [120, 120]
    assert [board.peer_row(row).fails for row in range(2)] == [0, 0]
