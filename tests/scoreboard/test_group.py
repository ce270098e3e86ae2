from __future__ import annotations

import pytest

from tidegate.scoreboard.group import Group, Slot


def order(group, count):
    return "".join("ABCDEFGH"[group.pick_round_robin()] for _ in range(count))


def test_the_next_group_of_the_same_shape_goes_on_with_the_round(board, slot):
    slots = [slot(0, 3), slot(1, 2), slot(2, 1)]
    assert order(Group(board, 0, 0, slots), 4) == "ABAC"
    assert order(Group(board, 0, 1, slots), 8) == "BAABACBA"


@pytest.mark.parametrize(
    "changed",
    [
        [(0, 3), (1, 2)],
        [(0, 3), (1, 2), (2, 2)],
        [(0, 3), (1, 2), (3, 1)],
    ],
)
def test_a_group_of_another_shape_begins_the_round_anew(board, slot, changed):
    old = Group(board, 0, 0, [slot(0, 3), slot(1, 2), slot(2, 1)])
    order(old, 4)
    old.release(2, failed=True)
    fresh_order = order_on_a_fresh_board(changed, slot)
    assert order(Group(board, 0, 1, [slot(*numbers, max_fails=9) for numbers in changed]), 9) == (
        fresh_order
    )
    assert board.peer_row(2).fails == 1


def order_on_a_fresh_board(numbers, slot):
    from tidegate.scoreboard.board import Board  # noqa: PLC0415 - only here

    board = Board.create(workers=1, upstreams=1, peers=8)
    board.reset_upstream(0)
    return order(Group(board, 0, 0, [slot(*each) for each in numbers]), 9)


def test_a_row_that_was_reset_is_begun_anew_though_the_shape_is_the_same(board, slot):
    slots = [slot(0, 2), slot(1, 1)]
    order(Group(board, 0, 0, slots), 1)
    board.reset_peer(1)
    group = Group(board, 0, 0, slots)
    assert board.peer_row(1).selected == 0
    assert order(group, 6) == "ABAABA"


def test_a_failure_lowers_the_weight_and_each_choice_raises_it_again(board, slot):
    group = Group(board, 0, 0, [slot(0, 4, max_fails=2), slot(1, 4, max_fails=2)])
    assert order(group, 1) == "A"
    assert group.release(0, failed=True) is False
    assert order(group, 20).count("A") < 10
    assert order(group, 20).count("A") == 10


def test_only_the_failure_that_takes_a_peer_out_of_service_says_so(board, slot):
    group = Group(board, 0, 0, [slot(0, max_fails=2), slot(1, down=True)])
    for _ in range(4):
        assert group.pick_round_robin() == 0
    assert [group.release(0, failed=True) for _ in range(4)] == [False, True, False, False]
    row = board.peer_row(0)
    assert (row.conns, row.fails, row.total_fails, row.selected) == (0, 4, 4, 4)


def test_a_peer_without_max_fails_stays_in_service(board, slot):
    group = Group(board, 0, 0, [slot(0, max_fails=0), slot(1, down=True)])
    for _ in range(3):
        assert group.pick_round_robin() == 0
        assert group.release(0, failed=True) is False


def test_early_closes_are_counted_for_all_workers_until_an_answer(board, slot):
    one, other = (Group(board, 0, worker, [slot(0), slot(1)]) for worker in range(2))
    assert [one.closed_early(1), other.closed_early(1), one.closed_early(1)] == [1, 2, 3]
    assert one.closed_early(0) == 1
    other.answered(1)
    assert board.peer_row(1).early_closes == 0
    assert one.closed_early(1) == 1


def test_an_empty_group_has_no_live_peer(board):
    assert Group(board, 0, 0, []).pick_round_robin() == -1


def test_peers_given_back_twice_are_an_error(board, slot):
    group = Group(board, 0, 0, [slot(0), slot(1)])
    group.pick_round_robin()
    group.release(0, failed=False)
    with pytest.raises(ValueError, match="peer 0 was released more often than picked"):
        group.release(0, failed=False)
    assert board.peer_row(0).conns == 0


def test_an_index_beyond_the_peers_is_an_error(board, slot):
    group = Group(board, 0, 0, [slot(0)])
    for method in (group.connected, group.failing, group.closed_early, group.answered):
        with pytest.raises(IndexError, match="peer 1 of 1"):
            method(1)
    with pytest.raises(IndexError, match="peer -1 of 1"):
        group.release(-1, failed=False)
    with pytest.raises(ValueError, match="tried has 2 bytes, expected 1"):
        group.pick_round_robin(bytearray(2))


def test_a_slot_that_the_master_has_not_made_ready_is_refused(board, slot):
    with pytest.raises(ValueError, match="upstream slot 1 was never reset"):
        Group(board, 1, 0, [slot(0)])


def test_a_row_of_another_upstream_is_refused(board, slot):
    Group(board, 0, 0, [slot(0)])
    board.reset_upstream(1)
    with pytest.raises(ValueError, match="peer 0 belongs to upstream 0"):
        Group(board, 1, 0, [slot(0)])


@pytest.mark.parametrize(
    "wrong", [{"weight": 0}, {"max_conns": -1}, {"max_fails": -1}, {"fail_timeout": -1}]
)
def test_a_slot_with_impossible_numbers_is_refused(wrong):
    numbers = {"weight": 1, "max_conns": 0, "max_fails": 1, "fail_timeout": 10} | wrong
    with pytest.raises(ValueError, match="no peer with"):
        Slot(0, down=False, backup=False, **numbers)
