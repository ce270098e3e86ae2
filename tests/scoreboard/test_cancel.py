"""A peer given back unasked is as it was before."""

from __future__ import annotations

from tidegate.scoreboard.board import Board
from tidegate.scoreboard.group import Group, Slot


def test_a_pick_that_is_cancelled_leaves_a_peer_on_trial_on_trial():
    board = Board.create(workers=1, upstreams=1, peers=2)
    board.reset_upstream(0)
    slots = []
    for row in range(2):
        board.reset_peer(row)
        slots.append(
            Slot(
                row,
                weight=1,
                max_conns=0,
                max_fails=1,
                fail_timeout=10,
                down=row == 1,
                backup=False,
            )
        )
    group = Group(board, 0, 0, slots)
    group.clock = 100
    assert group.pick_round_robin() == 0
    assert group.release(0, failed=True)
    assert group.pick_round_robin() == -1
    group.clock = 111
    assert group.pick_round_robin() == 0  # its one trial
    group.cancel(0)
    assert board.peer_row(0).fails == 1
    assert board.peer_row(0).conns == 0
    group.clock = 112
    assert group.pick_round_robin() == -1
