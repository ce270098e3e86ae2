"""`least_time` against a restatement of nginx's rules: the same peer, the same averages."""

from __future__ import annotations

import random as chance
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import restated
from lab.compare import PEERS, Both, peer_numbers
from tidegate.balance import random
from tidegate.balance.times import CONNECT, FIRST_BYTE, LAST_BYTE
from tidegate.config.model import LeastTime, Random
from tidegate.scoreboard.group import TIMES

HAPPENINGS = [*["open"] * 4, "fail", "connected", *["answer"] * 2, "end", "wait", "pause"]
EVENTS = st.lists(
    st.tuples(st.sampled_from(HAPPENINGS), st.integers(0, 999)), min_size=20, max_size=80
)
PRIMARIES = st.lists(peer_numbers(backup=st.just(False)), min_size=1, max_size=6)
MANY = settings(max_examples=150, deadline=None)
BY = st.sampled_from(range(3))


class Timed(Both):
    """Sessions that also tell how long their peers took."""

    def __init__(self, board, ours, nginx):
        super().__init__(board, ours, nginx)
        self.now_ms = 5000
        self.since = {}  # when a session set out that waits for its time

    def wait(self, number):
        """Seconds go by, and as many milliseconds more."""
        self.pause(1000 * (number % 7) + number)
        super().wait(number)

    def pause(self, number):
        """A few milliseconds go by."""
        self.now_ms += number
        self.nginx.now_ms = self.now_ms
        for upstream in self.ours:
            upstream.group.clock_ms = self.now_ms

    def pick(self, session):
        """The next peer; nobody waits for the one before."""
        self.land(session)
        super().pick(session)
        _, attempt, _, (held,) = session
        assert (attempt.took_off >= 0) == (
            held >= 0 and getattr(self.nginx, "inflight", False) and not self.nginx.single
        )
        if attempt.took_off >= 0:
            assert attempt.took_off == self.now_ms
            self.since[id(attempt)] = held, self.now_ms

    def land(self, session):
        """nginx's half waits no more."""
        held = self.since.pop(id(session[1]), None)
        if held is not None:
            self.nginx.landed(*held)

    def connected(self, number):
        """A connect succeeds, and took so long."""
        session = self.sessions[number % len(self.sessions)]
        upstream, attempt, _, (held,) = session
        report = SimpleNamespace(connect_ms=number)
        if not attempt.noted & 1:
            self.nginx.took(held, "connect", number)
        upstream.times.connected(attempt, held, report)
        if upstream.times.by == CONNECT:
            self.land(session)

    def answer(self, number):
        """A peer's first words come, and took so long."""
        session = self.sessions[number % len(self.sessions)]
        upstream, attempt, _, (held,) = session
        report = SimpleNamespace(connect_ms=number // 3)
        if not attempt.noted & 1:
            self.nginx.took(held, "connect", number // 3)
        if not attempt.noted & 2:
            self.nginx.took(held, "first_byte", 7 * number)
        upstream.times.answered(attempt, held, report, first_ms=7 * number)
        if upstream.times.by in {CONNECT, FIRST_BYTE}:
            self.land(session)

    def end(self, number):
        """A session that was served is over."""
        session = self.sessions[number % len(self.sessions)]
        upstream, attempt, _, (held,) = session
        report = SimpleNamespace(connect_ms=number // 5, first_byte_ms=-1, upstream_ms=9 * number)
        if not attempt.noted & 1:
            self.nginx.took(held, "connect", number // 5)
        self.nginx.took(held, "last_byte", 9 * number)
        upstream.times.over(attempt, held, report)
        upstream.times.left(attempt)
        self.land(session)
        super().end(number)

    def compare(self):
        """Averages, and who waits."""
        super().compare()
        for index, theirs in enumerate(self.nginx.peers):
            row = self.board.peer_row(index)
            averages = row.connect_ms, row.first_byte_ms, row.last_byte_ms
            assert averages == tuple(theirs.times.get(name, 0) for name in TIMES)
            assert (row.inflight, row.inflight_ms) == (len(theirs.waiting), theirs.waited)


@pytest.fixture(scope="session")
def compare(peer, upstreams):
    def compare(peers, nginx, *, method, events):
        made = [peer(number, **numbers) for number, numbers in enumerate(peers)]
        board, ours = upstreams(*made, workers=2, method=method)
        Timed(board, ours, nginx).go(events)

    return compare


@MANY
@given(PEERS, EVENTS, BY, st.booleans())
def test_least_time_with_backups(compare, peers, events, by, inflight):
    nginx = restated.NginxLeastTime(peers, TIMES[by], inflight=inflight)
    method = LeastTime(by=TIMES[by], inflight=inflight)
    compare(peers, nginx, method=method, events=events)


@MANY
@given(PRIMARIES, EVENTS, BY, st.integers(0, 1000))
def test_random_two_by_time(compare, peers, events, by, seed):
    draws = chance.Random(seed).random
    nginx = restated.NginxRandomTwoLeastTime(peers, draws, TIMES[by])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random, "random", chance.Random(seed).random)
        compare(peers, nginx, method=Random(two=True, by=TIMES[by]), events=events)


def test_the_head_of_an_answer_is_its_first_byte(peer, upstreams):
    assert (CONNECT, FIRST_BYTE, LAST_BYTE) == (0, 1, 2)
    _, (upstream,) = upstreams(peer(0), peer(1), method=LeastTime(by="header", inflight=False))
    assert upstream.times.by == FIRST_BYTE
