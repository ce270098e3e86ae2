from __future__ import annotations

import pickle

import pytest

from tidegate.balance import placement as placements
from tidegate.balance.placement import BoardFullError, allot
from tidegate.balance.upstream import Attempt, place
from tidegate.scoreboard.board import Board


@pytest.fixture
def board():
    return Board.create(workers=2, upstreams=2, peers=4)


def rows(placement):
    return {(key.upstream, key.name): row for key, row in placement.peers.taken.items()}


def test_each_upstream_and_each_peer_has_a_place_of_its_own(board, model, peer):
    placement = allot(model(a=(peer(0), peer(1)), b=(peer(0),)), board, None)
    assert placement.generation == 1
    assert placement.upstreams.taken == {"a": 0, "b": 1}
    assert sorted(placement.peers.taken.values()) == [0, 1, 2]


def test_a_configuration_without_stream_needs_no_place(board, model):
    placement = allot(model(), board, None)
    assert placement.peers.taken == {}


def test_a_server_written_twice_is_two_peers(board, model, peer):
    configuration = model(a=(peer(0), peer(0), peer(0, backup=True)))
    placement = allot(configuration, board, None)
    assert sorted(placement.peers.taken.values()) == [0, 1, 2]
    (upstream,) = configuration.stream.upstreams
    ours = place(upstream, placement=placement, board=board, worker=0)
    assert [ours.pick(Attempt()) for _ in range(4)] == [0, 1, 0, 1]


def test_what_stays_keeps_its_place_and_its_connections(board, model, peer):
    first = model(a=(peer(0), peer(1)))
    placement = allot(first, board, None)
    (upstream,) = first.stream.upstreams
    place(upstream, placement=placement, board=board, worker=0).pick(Attempt())
    second = model(b=(peer(0),), a=(peer(2), peer(1), peer(0, weight=5)))
    new = allot(second, board, placement)
    assert new.generation == 2
    assert new.upstreams.taken["a"] == placement.upstreams.taken["a"]
    for name in ("broker0:1883", "broker1:1883"):
        assert rows(new)["a", name] == rows(placement)["a", name]
    assert board.peer_row(rows(new)["a", "broker0:1883"]).conns == 1
    assert len(set(new.peers.taken.values())) == 4


def test_a_place_is_given_again_only_when_no_worker_uses_it(board, model, peer):
    first = allot(model(a=(peer(0), peer(1), peer(2), peer(3))), board, None)
    second = allot(model(a=(peer(0),)), board, first)
    with pytest.raises(BoardFullError, match="a restart makes more room"):
        allot(model(a=(peer(0),), b=(peer(7),)), board, second)
    third = allot(model(a=(peer(0),), b=(peer(7),)), board, second.retire(1))
    assert rows(third)["b", "broker7:1883"] in {1, 2, 3}
    assert second.retire(0) == second


def test_a_peer_that_comes_back_in_time_has_its_old_place(board, model, peer):
    first = allot(model(a=(peer(0), peer(1))), board, None)
    second = allot(model(a=(peer(0),)), board, first)
    third = allot(model(a=(peer(0), peer(1))), board, second)
    assert third.peers.taken == first.peers.taken
    assert third.retire(2).peers.free == ()


def test_a_place_given_again_is_as_new(board, model, peer):
    configuration = model(a=(peer(0), peer(1)))
    first = allot(configuration, board, None)
    (upstream,) = configuration.stream.upstreams
    worker = place(upstream, placement=first, board=board, worker=0)
    worker.pick(Attempt())
    worker.release(0, failed=True)
    worker.closed_early(0)
    empty = allot(model(), board, first).retire(1)
    again = allot(model(b=(peer(5),)), board, empty)
    assert again.upstreams.taken == {"b": 0}
    row = board.peer_row(rows(again)["b", "broker5:1883"])
    assert (row.selected, row.fails, row.total_fails, row.early_closes) == (0, 0, 0, 0)


def test_an_attempt_that_fails_changes_nothing(board, model, peer):
    first = allot(model(a=(peer(0),)), board, None)
    kept = pickle.loads(pickle.dumps(first))
    with pytest.raises(BoardFullError, match="3 upstreams with 3 addresses"):
        allot(model(a=(peer(0),), b=(peer(1),), c=(peer(2),)), board, first)
    assert first == kept


def test_a_board_without_room_says_what_does_not_fit(board, model, peer):
    with pytest.raises(BoardFullError, match=r"1 upstreams with 5 addresses .* for 2 and 4"):
        allot(model(a=tuple(peer(number) for number in range(5))), board, None)


def test_a_placement_travels_to_the_workers(board, model, peer):
    placement = allot(model(a=(peer(0), peer(1, backup=True))), board, None)
    assert pickle.loads(pickle.dumps(placement)) == placement


@pytest.fixture
def few_leaving(monkeypatch):
    monkeypatch.setattr(placements, "MOST_LEAVING", 2)


def chosen(board, configuration, placement):
    """The upstream `a` of a configuration, with a connection to its first peer."""
    (upstream, *_others) = configuration.stream.upstreams
    ours = place(upstream, placement=placement, board=board, worker=0)
    assert ours.pick_this(0)
    return ours


@pytest.mark.usefixtures("few_leaving")
def test_peers_may_come_and_go_without_end_while_one_session_lives(model, peer):
    board = Board.create(workers=2, upstreams=2, peers=8)
    first = model(a=(peer(0),))
    placement = allot(first, board, None)
    held = chosen(board, first, placement)
    for number in range(1, 100):
        configuration = model(a=(peer(number),))
        placement = allot(configuration, board, placement)
        chosen(board, configuration, placement).release(0, failed=True)
    assert placement.peers.used <= 5
    assert board.peer_row(rows(placement)["a", "broker99:1883"]).total_fails == 1
    back = allot(first, board, placement)
    assert rows(back)["a", "broker0:1883"] == 0
    assert board.peer_row(0).conns == 1
    held.release(0, failed=False)
    assert board.peer_row(0).conns == 0


@pytest.mark.usefixtures("few_leaving")
def test_an_heir_has_nothing_of_the_former_peer_and_spoils_nothing_of_its_sessions(model, peer):
    board = Board.create(workers=2, upstreams=2, peers=8)
    configuration = model(a=(peer(0),))
    placement = allot(configuration, board, None)
    old = chosen(board, configuration, placement)
    old.release(0, failed=True)
    for number in range(1, 5):
        new = model(a=(peer(number),))
        placement = allot(new, board, placement)
    assert rows(placement)["a", "broker4:1883"] == 0
    ours = chosen(board, new, placement)
    row = board.peer_row(0)
    assert (row.conns, row.selected, row.total_fails) == (1, 1, 0)
    # One of then, who chooses only now.
    assert old.pick_this(0)
    assert board.peer_row(0).conns == 2
    old.release(0, failed=False)
    ours.release(0, failed=False)
    assert board.peer_row(0).conns == 0


def test_a_full_board_has_room_for_heirs_and_those_of_other_upstreams_have_none(model, peer):
    board = Board.create(workers=2, upstreams=2, peers=3)
    first = model(a=(peer(0), peer(1)), b=(peer(9),))
    begun = allot(first, board, None)
    held = chosen(board, first, begun)
    placement = allot(model(a=(peer(0),), b=(peer(9),)), board, begun)
    new = allot(model(a=(peer(0), peer(2)), b=(peer(9),)), board, placement)
    assert rows(new)["a", "broker2:1883"] == rows(begun)["a", "broker1:1883"]
    with pytest.raises(BoardFullError):
        allot(model(a=(peer(0),), b=(peer(9), peer(8))), board, placement)
    gone = allot(model(a=(peer(1),), b=(peer(9),)), board, placement)
    with pytest.raises(BoardFullError):
        allot(model(a=(peer(1), peer(3)), b=(peer(9),)), board, gone)
    held.release(0, failed=False)
    allot(model(a=(peer(1), peer(3)), b=(peer(9),)), board, gone)


def test_workers_get_the_places_in_use_alone(board, model, peer):
    first = allot(model(a=(peer(0), peer(1))), board, None)
    second = allot(model(a=(peer(1),)), board, first)
    assert second.peers.leaving
    assert second.in_use.peers.leaving == {}
    assert second.in_use.peers.taken == second.peers.taken
