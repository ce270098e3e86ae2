"""The compiled choice against a restatement of nginx's rules, written from their description."""

from __future__ import annotations

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.balance.upstream import Attempt

WORKERS = 2


class NginxPeer:
    def __init__(self, index, *, weight, max_conns, max_fails, fail_timeout, down, backup):
        self.index = index
        self.weight = self.effective = weight
        self.current = 0
        self.max_conns = max_conns
        self.max_fails = max_fails
        self.fail_timeout = fail_timeout
        self.down = down
        self.backup = backup
        self.conns = self.fails = self.checked = self.accessed = 0


class NginxSession:
    """The list that the session chooses from, and what it tried there."""

    def __init__(self, peers):
        self.peers = peers
        self.tried = set()


class Nginx:
    """One upstream, whose now is the caller's."""

    def __init__(self, peers):
        self.peers = [NginxPeer(index, **numbers) for index, numbers in enumerate(peers)]
        self.primaries = [peer for peer in self.peers if not peer.backup]
        self.backups = [peer for peer in self.peers if peer.backup]
        self.single = len(self.primaries) == 1 and not self.backups

    def pick(self, session, now):
        if self.single:
            (peer,) = self.primaries
            if peer.down or (peer.max_conns and peer.conns >= peer.max_conns):
                return -1
            peer.conns += 1
            return 0
        peer = self.smooth(session, now)
        if peer is None and session.peers is not self.backups and self.backups:
            session.peers = self.backups
            session.tried = set()
            peer = self.smooth(session, now)
        if peer is None:
            return -1
        session.tried.add(peer)
        if now - peer.checked > peer.fail_timeout:
            peer.checked = now
        peer.conns += 1
        return peer.index

    @staticmethod
    def smooth(session, now):
        best, total = None, 0
        for peer in session.peers:
            if peer in session.tried or peer.down:
                continue
            if (
                peer.max_fails
                and peer.fails >= peer.max_fails
                and now - peer.checked <= peer.fail_timeout
            ):
                continue
            if peer.max_conns and peer.conns >= peer.max_conns:
                continue
            peer.current += peer.effective
            total += peer.effective
            if peer.effective < peer.weight:
                peer.effective += 1
            if best is None or peer.current > best.current:
                best = peer
        if best is not None:
            best.current -= total
        return best

    def free(self, index, now, *, failed):
        peer = self.peers[index]
        peer.conns -= 1
        if self.single:
            return False
        if not failed:
            self.notify_connect(index)
            return False
        peer.fails += 1
        peer.accessed = peer.checked = now
        if peer.max_fails:
            peer.effective = max(0, peer.effective - peer.weight // peer.max_fails)
        return peer.fails == peer.max_fails

    def notify_connect(self, index):
        peer = self.peers[index]
        if not self.single and peer.accessed < peer.checked:
            peer.fails = 0


def peer_numbers(**fixed):
    return st.fixed_dictionaries(
        {
            "weight": st.integers(1, 10),
            "max_conns": st.sampled_from([0, 0, 1, 3]),
            "max_fails": st.integers(0, 3),
            "fail_timeout": st.integers(0, 5),
            "down": st.sampled_from([False, False, False, True]),
            "backup": st.booleans(),
        }
        | fixed
    )


PEERS = st.builds(
    lambda first, rest: [first, *rest],
    peer_numbers(backup=st.just(False)),
    st.lists(peer_numbers(), max_size=5),
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["open", "open", "open", "fail", "fail", "connected", "end", "wait"]),
        st.integers(0, 99),
    ),
    min_size=20,
    max_size=80,
)


class Both:
    """The same sessions on a board, each with one of two workers, and in the restatement."""

    def __init__(self, board, ours, nginx):
        self.board = board
        self.ours = ours
        self.nginx = nginx
        self.now = 1000
        self.sessions = []  # (worker's upstream, attempt, nginx's session, [peer held])

    def wait(self, number):
        self.now += number % 7
        for upstream in self.ours:
            upstream.group.clock = self.now

    def open(self, number):
        upstream = self.ours[number % WORKERS]
        session = upstream, Attempt(), NginxSession(self.nginx.primaries), [-1]
        self.sessions.append(session)
        self.pick(session)

    def pick(self, session):
        upstream, attempt, theirs, held = session
        held[0] = upstream.pick(attempt)
        assert held[0] == self.nginx.pick(theirs, self.now)
        if held[0] < 0:
            self.sessions.remove(session)

    def connected(self, number):
        upstream, _, _, (held,) = self.sessions[number % len(self.sessions)]
        upstream.connected(held)
        self.nginx.notify_connect(held)

    def end(self, number):
        session = self.sessions[number % len(self.sessions)]
        self.free(session, failed=False)
        self.sessions.remove(session)

    def fail(self, number):
        session = self.sessions[number % len(self.sessions)]
        self.free(session, failed=True)
        self.pick(session)

    def free(self, session, *, failed):
        upstream, _, _, (held,) = session
        assert upstream.release(held, failed=failed) == self.nginx.free(
            held, self.now, failed=failed
        )

    def compare(self):
        for index, theirs in enumerate(self.nginx.peers):
            row = self.board.peer_row(index)
            assert (row.conns, row.fails) == (theirs.conns, theirs.fails)
            assert (row.checked, row.accessed) == (theirs.checked, theirs.accessed)
        assert [upstream.unlocked for upstream in self.ours] == [0] * WORKERS


@settings(max_examples=300, deadline=None)
@given(PEERS, EVENTS)
def test_each_choice_is_the_one_that_nginx_makes(peer, upstreams, peers, events):
    board, ours = upstreams(
        *(peer(number, **numbers) for number, numbers in enumerate(peers)), workers=WORKERS
    )
    both = Both(board, ours, Nginx(peers))
    both.wait(0)
    for event, number in events:
        if both.sessions or event in {"open", "wait"}:
            getattr(both, event)(number)
            both.compare()


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
