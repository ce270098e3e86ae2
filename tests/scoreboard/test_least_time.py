"""What the board keeps for `least_time`: averages, and who is under way, common to all workers."""

from __future__ import annotations

import itertools
import os

import pytest

from tidegate.scoreboard.group import TIMES, Group

CONNECT, FIRST_BYTE, LAST_BYTE = range(3)


def note(group, index, **times):
    group.note_times(index, **({"connect": -1, "first_byte": -1, "last_byte": -1} | times))


def averages(board, row):
    found = board.peer_row(row)
    return found.connect_ms, found.first_byte_ms, found.last_byte_ms


@pytest.fixture
def groups(board, slot):
    """Two workers with three peers each, at the same time; each peer was just chosen."""
    made = [Group(board, 0, worker, [slot(row) for row in range(3)]) for worker in range(2)]
    for group in made:
        group.clock, group.clock_ms = 100, 100_000
    for row in range(3):
        assert made[0].pick_this(row)
        made[0].release(row, failed=False)
    return made


def test_the_times_have_numbers_in_their_order():
    assert TIMES == ("connect", "first_byte", "last_byte")


def test_times_of_all_workers_make_one_average(board, groups):
    one, other = groups
    note(one, 1, connect=100, first_byte=7)
    assert averages(board, 1) == (100, 7, 0)
    note(other, 1, connect=200, last_byte=0)
    assert averages(board, 1) == (105, 7, 0)
    # 19/20 of 105 and 1/20 of 300 are 114.75.
    note(one, 1, connect=300)
    assert averages(board, 1) == (115, 7, 0)
    assert averages(board, 0) == averages(board, 2) == (0, 0, 0)


def test_times_beyond_all_measure_do_not_overflow(board, groups):
    for _ in range(2):
        note(groups[0], 0, last_byte=2**62)
    assert averages(board, 0) == (0, 0, 2**31 - 1)


def test_a_new_group_of_the_same_peers_keeps_the_averages(board, groups, slot):
    note(groups[0], 1, first_byte=80)
    Group(board, 0, 2, [slot(0), slot(1, 5)])
    assert averages(board, 1) == (0, 80, 0)


def test_a_new_peer_has_no_averages_and_nobody_under_way(board, groups):
    note(groups[0], 0, first_byte=80)
    groups[0].pick_least_time(FIRST_BYTE, inflight=True)
    board.reset_peer(0)
    row = board.peer_row(0)
    assert (row.first_byte_ms, row.inflight_ms, row.inflight, row.conns) == (0, 0, 0, 0)


def test_the_quickest_is_chosen_by_each_of_the_times(groups):
    one, other = groups
    for index, quick in enumerate(TIMES):
        note(one, index, **{name: 20 if name == quick else 900 for name in TIMES})
    assert [other.pick_least_time(by, inflight=False) for by in range(3)] == [0, 1, 2]


def test_who_is_under_way_counts_from_all_workers_until_it_lands(board, groups):
    one, other = groups
    for group in groups:
        note(group, 0, first_byte=10)
        note(group, 1, first_byte=50)
        note(group, 2, first_byte=50)
    assert one.pick_least_time(FIRST_BYTE, inflight=True) == 0
    took_off = one.took_off
    assert took_off == 100_000
    assert (board.peer_row(0).inflight, board.peer_row(0).inflight_ms) == (1, 0)
    one.release(0, failed=False)
    other.clock_ms = 100_400
    # Nobody else knows that it takes so long yet.
    assert other.pick_least_time(FIRST_BYTE, inflight=True) == 1
    assert board.peer_row(0).inflight_ms == 400
    other.land(1, other.took_off)
    other.release(1, failed=False)
    one.land(0, took_off)
    assert [board.peer_row(row).inflight for row in range(3)] == [0, 0, 0]
    assert other.pick_least_time(FIRST_BYTE, inflight=True) == 0


def test_the_mean_age_counts(board, slot):
    groups = [Group(board, 0, worker, [slot(0), slot(1, down=True)]) for worker in range(2)]
    for group, at in zip(groups, (100_000, 100_100), strict=True):
        group.clock_ms = at
        assert group.pick_least_time(FIRST_BYTE, inflight=True) == 0
    assert board.peer_row(0).inflight_ms == 100
    groups[0].clock_ms = 100_250
    assert groups[0].pick_least_time(FIRST_BYTE, inflight=True) == 0
    # Of 250 and 150 ms the mean is 200, and a twentieth of that moves the average.
    assert board.peer_row(0).inflight_ms == 105
    assert board.peer_row(0).inflight == 3


def test_without_inflight_nobody_takes_off(board, groups):
    group = groups[0]
    assert group.pick_least_time(FIRST_BYTE, inflight=False) == 0
    assert group.took_off == -1
    assert board.peer_row(0).inflight == 0
    with pytest.raises(ValueError, match="nobody is under way to peer 0"):
        group.land(0, 100_000)


def test_a_dead_worker_has_nobody_under_way(board, groups):
    _, other = groups
    for group in groups:
        for _ in range(3):
            group.pick_least_time(CONNECT, inflight=True)
    assert [board.peer_row(row).inflight for row in range(3)] == [2, 2, 2]
    board.forget_worker(0)
    assert [board.peer_row(row).inflight for row in range(3)] == [1, 1, 1]
    assert [board.peer_row(row).conns for row in range(3)] == [1, 1, 1]
    other.clock_ms = 100_040
    # Their age is that of the living one's, not of a time that nobody knows any more.
    other.pick_least_time(CONNECT, inflight=True)
    assert [board.peer_row(row).inflight_ms for row in range(3)] == [40, 40, 40]


def test_a_peer_that_was_slow_is_tried_again(groups):
    group = groups[0]
    for index, slow in enumerate((40, 40, 800)):
        note(group, index, first_byte=slow)
    chosen = []
    # In each 11 s, `fail_timeout` and one, without a choice its time counts for half as much.
    for group.clock in range(100, 150):
        chosen.append(group.pick_least_time(FIRST_BYTE, inflight=False))
        group.release(chosen[-1], failed=False)
    idle = next(at for at, index in enumerate(chosen) if index == 2)
    # 800 ms become 50, 25 and then, in one bucket of 20 ms less than 40, less than the others'.
    assert 33 <= idle <= 55
    # From then on its own time counts again.
    assert 2 not in chosen[idle + 1 :]


def test_without_inflight_there_are_no_pages_for_it(board, groups):
    def pages():
        return os.fstat(board.fd).st_blocks

    for row, group in itertools.product(range(3), groups):
        note(group, row, connect=3)
        group.pick_least_time(CONNECT, inflight=False)
        board.peer_row(row)
    before = pages()
    board.forget_worker(1)
    assert pages() == before


@pytest.mark.parametrize("by", [-1, 3])
def test_an_unknown_time_is_an_error(groups, by):
    with pytest.raises(IndexError, match=f"metric {by} of 3"):
        groups[0].pick_least_time(by, inflight=False)
