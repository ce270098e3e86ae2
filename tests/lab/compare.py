"""The same sessions on a board and in a restatement of nginx: every choice has to be the same."""

from hypothesis import strategies as st

from tidegate.balance.upstream import Attempt


def peer_numbers(**fixed):
    """What stands behind one `server`."""
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
    """`ours` are the workers of one board, each session has one of them; `nginx` is all of it.

    A session's key is one of `keys`.
    """

    def __init__(self, board, ours, nginx, *, keys=(b"",)):
        self.board = board
        self.ours = ours
        self.nginx = nginx
        self.keys = keys
        self.now = 1000
        self.sessions = []  # (worker's upstream, attempt, nginx's session, [peer held])

    def go(self, events):
        """Do all of them, and compare what is known of each peer after each one."""
        self.wait(0)
        for event, number in events:
            if self.sessions or event in {"open", "wait"}:
                getattr(self, event)(number)
                self.compare()

    def wait(self, number):
        """Time goes by."""
        self.now += number % 7
        for upstream in self.ours:
            upstream.group.clock = self.now

    def open(self, number):
        """A new session picks its first peer."""
        upstream = self.ours[number % len(self.ours)]
        key = self.keys[number % len(self.keys)]
        session = upstream, Attempt(key), self.nginx.open(key), [-1]
        self.sessions.append(session)
        self.pick(session)

    def pick(self, session):
        """The first peer, or the next."""
        upstream, attempt, theirs, held = session
        held[0] = upstream.pick(attempt)
        assert held[0] == self.nginx.pick(theirs, self.now)
        if held[0] < 0:
            self.sessions.remove(session)

    def connected(self, number):
        """A connect succeeds."""
        upstream, _, _, (held,) = self.sessions[number % len(self.sessions)]
        upstream.connected(held)
        self.nginx.notify_connect(held)

    def end(self, number):
        """A session is over."""
        session = self.sessions[number % len(self.sessions)]
        self.free(session, failed=False)
        self.sessions.remove(session)

    def fail(self, number):
        """A connect fails, and the session picks the next peer."""
        session = self.sessions[number % len(self.sessions)]
        self.free(session, failed=True)
        self.pick(session)

    def free(self, session, *, failed):
        """Give a peer back."""
        upstream, _, _, (held,) = session
        assert upstream.release(held, failed=failed) == self.nginx.free(
            held, self.now, failed=failed
        )

    def compare(self):
        """What is known of each peer."""
        for index, theirs in enumerate(self.nginx.peers):
            row = self.board.peer_row(index)
            assert (row.conns, row.fails) == (theirs.conns, theirs.fails)
            assert (row.checked, row.accessed) == (theirs.checked, theirs.accessed)
        assert [upstream.unlocked for upstream in self.ours] == [0] * len(self.ours)
