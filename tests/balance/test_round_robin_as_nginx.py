"""Round robin against a restatement of nginx's rules, and what follows from them."""

from __future__ import annotations

import string

from hypothesis import given, settings

from lab.compare import EVENTS, PEERS, Both
from lab.restated import Nginx
from tidegate.balance.upstream import Attempt


@settings(max_examples=300, deadline=None)
@given(PEERS, EVENTS)
def test_each_choice_is_the_one_that_nginx_makes(peer, upstreams, peers, events):
    board, ours = upstreams(
        *(peer(number, **numbers) for number, numbers in enumerate(peers)), workers=2
    )
    Both(board, ours, Nginx(peers)).go(events)


def order(upstream, count):
    return "".join(string.ascii_uppercase[upstream.pick(Attempt())] for _ in range(count))


def test_weights_3_2_1_are_interleaved_as_nginx_does(peer, upstreams):
    _, (upstream,) = upstreams(*(peer(number, weight=3 - number) for number in range(3)))
    assert order(upstream, 12) == "ABACBA" * 2


def test_ten_connections_over_three_nodes_are_4_3_3_from_any_workers(peer, upstreams):
    board, ours = upstreams(*(peer(number) for number in range(3)), workers=4)
    for number in range(10):
        ours[number % 4].pick(Attempt())
    assert [board.peer_row(index).conns for index in range(3)] == [4, 3, 3]


def test_a_node_found_dead_by_one_worker_is_known_to_all(peer, upstreams):
    _, (one, other) = upstreams(peer(0), peer(1), workers=2)
    attempt = Attempt()
    assert one.pick(attempt) == 0
    assert one.release(0, failed=True)
    assert one.pick(attempt) == 1
    assert order(other, 5) == "BBBBB"


def test_a_failing_node_gets_one_trial_when_its_time_is_over(peer, upstreams):
    _, (upstream,) = upstreams(peer(0, fail_timeout=10), peer(1))
    upstream.group.clock = 100
    upstream.pick(Attempt())
    upstream.release(0, failed=True)
    upstream.group.clock = 110
    assert order(upstream, 3) == "BBB"
    upstream.group.clock = 111
    assert order(upstream, 4).count("A") == 1
    assert upstream.failing(0)
    upstream.connected(0)
    assert not upstream.failing(0)
    assert "A" in order(upstream, 2)


def test_the_only_node_is_never_out_of_service(peer, upstreams):
    _, (upstream,) = upstreams(peer(0, max_fails=1))
    assert upstream.tries == 1
    for _ in range(3):
        assert upstream.pick(Attempt()) == 0
        assert upstream.release(0, failed=True) is False
    assert not upstream.failing(0)


def test_the_only_node_keeps_its_bounds(peer, upstreams):
    _, (upstream,) = upstreams(peer(0, max_conns=1))
    assert upstream.pick(Attempt()) == 0
    assert upstream.pick(Attempt()) == -1
    _, (upstream,) = upstreams(peer(0, down=True))
    assert upstream.tries == 0
    assert upstream.pick(Attempt()) == -1


def test_max_conns_counts_the_connections_of_all_workers(peer, upstreams):
    _, (one, other) = upstreams(peer(0, max_conns=2), peer(1, down=True), workers=2)
    assert one.pick(Attempt()) == 0
    assert other.pick(Attempt()) == 0
    assert one.pick(Attempt()) == -1
    other.release(0, failed=False)
    assert one.pick(Attempt()) == 0


def test_a_session_tries_each_node_once_and_then_the_backups(peer, upstreams):
    _, (upstream,) = upstreams(
        peer(0, backup=True), peer(1), peer(2, down=True), peer(3), peer(4, backup=True)
    )
    assert upstream.tries == 4
    attempt = Attempt()
    seen = []
    while (index := upstream.pick(attempt)) >= 0:
        seen.append(index)
        upstream.release(index, failed=True)
    assert seen == [1, 3, 0, 4]


def test_a_session_that_began_with_a_backup_stays_with_the_backups(peer, upstreams):
    _, (upstream,) = upstreams(peer(0, max_conns=1), peer(1, backup=True), peer(2, backup=True))
    first, second = Attempt(), Attempt()
    assert upstream.pick(first) == 0
    assert upstream.pick(second) == 1
    upstream.release(0, failed=False)
    upstream.release(1, failed=True)
    assert upstream.pick(second) == 2


def test_a_session_that_went_over_to_the_backups_stays_with_them(peer, upstreams):
    _, (upstream,) = upstreams(
        peer(0, max_conns=1), peer(1), peer(2, backup=True), peer(3, backup=True)
    )
    first, second = Attempt(), Attempt()
    assert [upstream.pick(first), upstream.pick(second)] == [0, 1]
    upstream.release(1, failed=True)
    assert upstream.pick(second) == 2
    upstream.release(2, failed=True)
    upstream.release(0, failed=False)
    assert upstream.pick(second) == 3
    upstream.release(3, failed=True)
    assert upstream.pick(second) == -1


def test_a_session_with_one_try_remembers_no_list(peer, upstreams):
    _, (upstream,) = upstreams(peer(0), peer(1))
    attempt = Attempt()
    upstream.pick(attempt)
    assert attempt.tried is None
