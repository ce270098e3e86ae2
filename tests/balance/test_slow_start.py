"""`slow_start` against a restatement of its description, and what follows from it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.compare import Both, peer_numbers
from lab.restated_slow_start import SlowStart, SlowStartLeastConn, SlowStartLeastTime
from tidegate.balance.upstream import Attempt
from tidegate.config.model import LeastConn, LeastTime, RoundRobin

SECONDS = 100
NOW = 1000
COMING_BACK = {
    "max_fails": st.sampled_from([1, 1, 2]),
    "fail_timeout": st.integers(0, 2),
    "slow_start_ms": st.sampled_from([0, 1500, 10_000, 30_000]),
}
PEERS = st.builds(
    lambda first, rest: [first, *rest],
    peer_numbers(backup=st.just(False), down=st.just(False), **COMING_BACK),
    st.lists(peer_numbers(**COMING_BACK), max_size=4),
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["open"] * 6 + ["fail", "connected", "connected", "end", "wait"]),
        st.integers(0, 99),
    ),
    min_size=40,
    max_size=120,
)
TIMED = st.lists(
    st.tuples(
        st.sampled_from(["open"] * 6 + ["fail", "connected", "connected", "end", "wait", "took"]),
        st.integers(0, 99),
    ),
    min_size=40,
    max_size=120,
)
BY_TIME = LeastTime(by="connect", inflight=False)
METHODS = [
    RoundRobin(),
    LeastConn(),
    BY_TIME,
    LeastTime(by="connect", inflight=True),
]


class BothSlow(Both):
    """They agree on who is coming back, too."""

    def wait(self, number):
        super().wait(number)
        self.nginx.now = self.now

    def took(self, number):
        """A connect to one of the peers took so long."""
        index = number % len(self.nginx.peers)
        self.ours[0].group.note_times(index, connect=number, first_byte=-1, last_byte=-1)
        self.nginx.took(index, "connect", number)

    def compare(self):
        super().compare()
        for index, theirs in enumerate(self.nginx.peers):
            back = self.board.peer_row(index).back
            if theirs.back is None or (self.now - theirs.back) * 1000 >= theirs.slow_start_ms:
                assert back == 0 or self.now * 1000 - back >= theirs.slow_start_ms
            else:
                assert back == theirs.back * 1000


@settings(max_examples=200, deadline=None)
@given(PEERS, EVENTS)
def test_each_choice_of_round_robin_is_that_of_the_description(peer, upstreams, peers, events):
    compare(peer, upstreams, peers, events, SlowStart(peers), RoundRobin())


@settings(max_examples=200, deadline=None)
@given(PEERS, EVENTS)
def test_each_choice_of_least_conn_is_that_of_the_description(peer, upstreams, peers, events):
    compare(peer, upstreams, peers, events, SlowStartLeastConn(peers), LeastConn())


@settings(max_examples=200, deadline=None)
@given(PEERS, TIMED)
def test_each_choice_of_least_time_is_that_of_the_description(peer, upstreams, peers, events):
    restated = SlowStartLeastTime(peers, by="connect")
    compare(peer, upstreams, peers, events, restated, BY_TIME)


def compare(peer, upstreams, peers, events, restated, method):
    made = [peer(number, **numbers) for number, numbers in enumerate(peers)]
    board, ours = upstreams(*made, workers=2, method=method)
    BothSlow(board, ours, restated).go(events)


@pytest.fixture
def group(peer, upstreams):
    """Two workers' view of three peers, of which the last has just come back."""

    def group(method, *, held=0, weight=1, **last):
        given = {"slow_start_ms": SECONDS * 1000, "weight": weight} | last
        board, ours = upstreams(
            peer(0, weight=weight),
            peer(1, weight=weight),
            peer(2, **given),
            workers=2,
            method=method,
        )
        set_clock(ours, NOW)
        for _ in range(held):
            for index in range(2):
                assert ours[0].group.pick_this(index)
        take_out(ours[0])
        come_back(ours[1], NOW + 20)
        return board, ours

    return group


def set_clock(ours, now):
    for upstream in ours:
        upstream.group.clock = now


def take_out(upstream):
    """One failure, as many as it takes."""
    assert upstream.group.pick_this(2)
    assert upstream.release(2, failed=True)


def come_back(upstream, now):
    upstream.group.clock = now
    assert upstream.group.pick_this(2)
    upstream.connected(2)
    upstream.release(2, failed=False)


def picks_of_the_last(ours, count, attempt=Attempt):
    return sum(ours[number % 2].pick(attempt()) == 2 for number in range(count))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weight", [1, 7])
@pytest.mark.parametrize("percent", [0, 1, 10, 50, 90])
def test_a_peer_that_comes_back_has_its_part_of_the_picks(group, method, weight, percent):
    _, ours = group(method, weight=weight, held=5000)
    set_clock(ours, NOW + 20 + percent * SECONDS // 100)
    part = percent / 100
    picks = picks_of_the_last(ours, 3000)
    assert abs(picks - 3000 * part / (2 + part)) <= 3000 * 0.002 + 2


@pytest.mark.parametrize("method", METHODS)
def test_the_picks_follow_the_ramp_as_time_goes_by(group, method):
    _, ours = group(method, held=5000)
    picks = []
    for second in range(SECONDS):
        set_clock(ours, NOW + 20 + second)
        picks.append(picks_of_the_last(ours, 30))
    tens = [sum(picks[at : at + 10]) for at in range(0, SECONDS, 10)]
    for ten, count in enumerate(tens):
        part = (ten + 0.5) / 10
        assert abs(count - 300 * part / (2 + part)) <= 3, tens


def test_without_slow_start_least_conn_sends_everybody_to_the_empty_peer(group):
    _, ours = group(LeastConn(), held=5000, slow_start_ms=0)
    set_clock(ours, NOW + 30)
    assert picks_of_the_last(ours, 3000) == 3000


def test_after_it_least_conn_goes_by_load_again(group):
    board, ours = group(LeastConn(), held=50)
    set_clock(ours, NOW + 20 + SECONDS)
    assert picks_of_the_last(ours, 30) == 30
    assert board.peer_row(2).back == 0


@pytest.mark.parametrize("method", METHODS)
def test_nobody_is_refused_for_it(peer, upstreams, method):
    board, ours = upstreams(
        peer(0, max_conns=2),
        peer(1, down=True),
        peer(2, slow_start_ms=SECONDS * 1000),
        peer(3, backup=True),
        workers=2,
        method=method,
    )
    set_clock(ours, NOW)
    take_out(ours[0])
    come_back(ours[0], NOW + 20)
    set_clock(ours, NOW + 20)
    assert sorted(ours[0].pick(Attempt()) for _ in range(4)) == [0, 0, 2, 2]
    assert board.peer_row(3).conns == 0


@pytest.mark.parametrize("method", METHODS)
def test_who_was_refused_by_the_others_goes_there_at_once(group, method):
    _, ours = group(method, held=5)
    set_clock(ours, NOW + 21)
    attempt = Attempt()
    first = ours[0].pick(attempt)
    ours[0].cancel(first)
    second = ours[0].pick(attempt)
    ours[0].cancel(second)
    assert {first, second} == {0, 1}
    assert ours[0].pick(attempt) == 2


@pytest.mark.parametrize("method", METHODS)
def test_a_failure_that_takes_nobody_out_of_service_begins_nothing(peer, upstreams, method):
    slow = peer(2, slow_start_ms=SECONDS * 1000, max_fails=2)
    board, (upstream,) = upstreams(peer(0), peer(1), slow, method=method)
    upstream.group.clock = NOW
    assert upstream.group.pick_this(2)
    assert not upstream.release(2, failed=True)
    come_back(upstream, NOW + 20)
    row = board.peer_row(2)
    assert (row.fails, row.back) == (0, 0)


@pytest.mark.parametrize("method", METHODS)
def test_peers_that_come_back_together_share_as_ever(peer, upstreams, method):
    _, ours = upstreams(
        *(peer(number, slow_start_ms=SECONDS * 1000) for number in range(3)),
        workers=2,
        method=method,
    )
    set_clock(ours, NOW)
    for index in range(3):
        assert ours[0].group.pick_this(index)
        ours[0].release(index, failed=True)
    set_clock(ours, NOW + 20)
    for index in range(3):
        assert ours[0].group.pick_this(index)
        ours[0].connected(index)
        ours[0].release(index, failed=False)
    for later in (0, 1, 50):
        set_clock(ours, NOW + 20 + later)
        picks = [ours[number % 2].pick(Attempt()) for number in range(300)]
        assert all(abs(picks.count(index) - 100) <= 2 for index in range(3))


def test_the_only_peer_has_none(peer, upstreams):
    board, (upstream,) = upstreams(peer(0, slow_start_ms=SECONDS * 1000))
    for _ in range(3):
        assert upstream.pick(Attempt()) == 0
        upstream.release(0, failed=True)
    assert board.peer_row(0).back == 0


def test_what_was_not_taken_is_not_saved_up(group):
    _, ours = group(LeastConn())
    for _ in range(50):
        assert ours[0].group.pick_this(2)
    set_clock(ours, NOW + 20 + SECONDS // 2)
    assert picks_of_the_last(ours, 60) == 0
    for _ in range(50):
        ours[0].release(2, failed=False)
    assert picks_of_the_last(ours, 10) == 3  # the one saved up, and a fifth of ten
