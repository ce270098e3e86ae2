"""nginx's choices, restated in plain Python from their description, for tests to compare with.

`Nginx` is one upstream; each method is a subclass. Nothing here is shared with what is tested.
"""

import zlib
from fractions import Fraction

MOST_TRIES = 20


class NginxPeer:
    """One address of a `server`."""

    def __init__(
        self,
        index,
        *,
        weight,
        max_conns,
        max_fails,
        fail_timeout,
        down,
        backup,
        name="",
    ):
        self.index = index
        self.name = name
        self.weight = self.effective = weight
        self.current = 0
        self.max_conns = max_conns
        self.max_fails = max_fails
        self.fail_timeout = fail_timeout
        self.down = down
        self.backup = backup
        self.conns = self.fails = self.checked = self.accessed = 0
        self.times = {}  # averages in milliseconds by name
        self.waiting = []  # when they set out who wait for that time
        self.waited = 0


class NginxSession:
    """The list that the session chooses from, what it tried there, and what a method remembers."""

    def __init__(self, peers, key=b""):
        self.peers = peers
        self.key = key
        self.tried = set()
        self.tries = 0
        self.rehash = 0
        self.hash = None


class Nginx:
    """One upstream, whose now is the caller's: round robin, which the methods fall back to."""

    def __init__(self, peers):
        self.peers = [NginxPeer(index, **numbers) for index, numbers in enumerate(peers)]
        self.primaries = [peer for peer in self.peers if not peer.backup]
        self.backups = [peer for peer in self.peers if peer.backup]
        self.single = len(self.primaries) == 1 and not self.backups
        self.total_weight = sum(peer.weight for peer in self.primaries)

    def open(self, key=b""):
        """A session that has picked nothing yet."""
        return NginxSession(self.primaries, key)

    def pick(self, session, now):
        """Index of the peer reserved for a session, -1 for none."""
        return self.round_robin(session, now)

    def round_robin(self, session, now):
        """B1, with the backups."""
        if self.single:
            (peer,) = self.primaries
            if peer.down or (peer.max_conns and peer.conns >= peer.max_conns):
                return -1
            peer.conns += 1
            return 0
        return self.with_backups(session, now, self.smooth)

    def with_backups(self, session, now, method):
        """Choose among the primaries, then among the backups."""
        peer = method(session, now, session.peers)
        if peer is None and session.peers is not self.backups and self.backups:
            session.peers = self.backups
            session.tried = set()
            peer = method(session, now, session.peers)
        return -1 if peer is None else self.take(session, peer, now)

    @staticmethod
    def take(session, peer, now):
        """Reserve a peer."""
        session.tried.add(peer)
        if now - peer.checked > peer.fail_timeout:
            peer.checked = now
        peer.conns += 1
        return peer.index

    @staticmethod
    def eligible(session, peer, now):
        """B0."""
        if peer in session.tried or peer.down:
            return False
        if (
            peer.max_fails
            and peer.fails >= peer.max_fails
            and now - peer.checked <= peer.fail_timeout
        ):
            return False
        return not (peer.max_conns and peer.conns >= peer.max_conns)

    def smooth(self, session, now, peers):
        """One step of the round among the eligible ones of `peers`."""
        best, total = None, 0
        for peer in peers:
            if not self.eligible(session, peer, now):
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

    def leave_to_round_robin(self, session):
        """When the methods other than least_conn do not choose."""
        return session.tries > MOST_TRIES or len(self.primaries) < 2

    def at(self, number):
        """The primary at a number below the sum of all weights."""
        for peer in self.primaries:
            if number < peer.weight:
                return peer
            number -= peer.weight
        raise AssertionError(number)

    def free(self, index, now, *, failed):
        """Give a peer back; True when this failure took it out of service."""
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
        """A connect succeeded."""
        peer = self.peers[index]
        if not self.single and peer.accessed < peer.checked:
            peer.fails = 0


class NginxHash(Nginx):
    """B2."""

    def pick(self, session, now):
        if not session.key or self.leave_to_round_robin(session):
            return self.round_robin(session, now)
        session.hash = session.hash or 0
        while True:
            text = (str(session.rehash).encode() if session.rehash else b"") + session.key
            session.hash += (zlib.crc32(text) >> 16) & 0x7FFF
            session.rehash += 1
            peer = self.at(session.hash % self.total_weight)
            if self.eligible(session, peer, now):
                return self.take(session, peer, now)
            session.tries += 1
            if session.tries > MOST_TRIES:
                return self.round_robin(session, now)


class NginxIpHash(Nginx):
    """B5."""

    def pick(self, session, now):
        if self.leave_to_round_robin(session):
            return self.round_robin(session, now)
        if session.hash is None:
            session.hash = 89
        while True:
            for byte in session.key:
                session.hash = (session.hash * 113 + byte) % 6271
            peer = self.at(session.hash % self.total_weight)
            if self.eligible(session, peer, now):
                return self.take(session, peer, now)
            session.tries += 1
            if session.tries > MOST_TRIES:
                return self.round_robin(session, now)


class NginxConsistent(Nginx):
    """B3."""

    def __init__(self, peers):
        super().__init__(peers)
        made = [(point, peer.name) for peer in self.primaries for point in self.points_of(peer)]
        made.sort(key=lambda made: made[0])
        self.ring = [one for at, one in enumerate(made) if at == 0 or made[at - 1][0] != one[0]]

    @staticmethod
    def points_of(peer):
        """The places of one peer's points."""
        if peer.name.startswith("unix:"):
            host, port = peer.name[5:], ""
        else:
            host, _, port = peer.name.rpartition(":")
        text = host.encode() + b"\0" + port.encode()
        point = 0
        for _ in range(160 * peer.weight):
            point = zlib.crc32(text + point.to_bytes(4, "little"))
            yield point

    def pick(self, session, now):
        if not session.key or self.leave_to_round_robin(session):
            return self.round_robin(session, now)
        if session.hash is None:
            wanted = zlib.crc32(session.key)
            session.hash = sum(point < wanted for point, _ in self.ring)
        while True:
            _, name = self.ring[session.hash % len(self.ring)]
            same = [peer for peer in self.primaries if peer.name == name]
            peer = self.smooth(session, now, same)
            if peer is not None:
                return self.take(session, peer, now)
            session.hash += 1
            session.tries += 1
            if session.tries > MOST_TRIES:
                return self.round_robin(session, now)


class NginxLeastConn(Nginx):
    """B4."""

    def pick(self, session, now):
        if self.single:
            return self.round_robin(session, now)
        return self.with_backups(session, now, self.least)

    def least(self, session, now, peers):
        """The least loaded of the eligible ones; round robin among those that are equal."""
        live = [peer for peer in peers if self.eligible(session, peer, now)]
        if not live:
            return None
        best = live[0]
        for peer in live[1:]:
            if peer.conns * best.weight < best.conns * peer.weight:
                best = peer
        tied = [peer for peer in live if peer.conns * best.weight == best.conns * peer.weight]
        return best if len(tied) == 1 else self.smooth(session, now, tied)


def moving(average, value):
    """nginx's average of times: one more counts for a twentieth, halves are rounded up."""
    return int(Fraction(19 * average + value, 20) + Fraction(1, 2)) if average else value


class NginxLeastTime(Nginx):
    """B7, by one of the times; `now_ms` is the caller's too. Without inflight nobody waits."""

    def __init__(self, peers, by, *, inflight=False):
        super().__init__(peers)
        self.by = by
        self.inflight = inflight
        self.now_ms = 0

    def pick(self, session, now):
        if self.single:
            return self.round_robin(session, now)
        index = self.with_backups(session, now, self.soonest)
        if index >= 0 and self.inflight:
            self.peers[index].waiting.append(self.now_ms)
        return index

    def soonest(self, session, now, peers):
        """The eligible one that will have done what it has first; round robin among equals."""
        live = [peer for peer in peers if self.eligible(session, peer, now)]
        for peer in live:
            if peer.waiting:
                ages = sum(self.now_ms - since for since in peer.waiting)
                peer.waited = moving(peer.waited, ages // len(peer.waiting))
        shares = [Fraction(self.expected(peer, now), peer.weight) for peer in live]
        tied = [peer for peer, share in zip(live, shares, strict=True) if share == min(shares)]
        return tied[0] if len(tied) == 1 else self.smooth(session, now, tied)

    def expected(self, peer, now):
        """Milliseconds for what a peer has to do, and one more."""
        each = peer.times.get(self.by, 0)
        idle = now - peer.checked
        if idle > peer.fail_timeout:
            each = int(each / 2 ** (idle // (peer.fail_timeout + 1)))
        if peer.waiting:
            each = max(each, peer.waited)
        each = 5000 if each > 5000 else (each // 20 + 1) * 20
        return each * (peer.conns + 1)

    def took(self, index, name, ms):
        """A session took so long."""
        times = self.peers[index].times
        times[name] = moving(times.get(name, 0), ms)

    def landed(self, index, since):
        """One waits no more."""
        self.peers[index].waiting.remove(since)


class NginxRandom(Nginx):
    """B6; `draw` gives numbers from 0 to below 1."""

    two = False

    def __init__(self, peers, draw):
        super().__init__(peers)
        self.draw = draw

    def pick(self, session, now):
        if self.leave_to_round_robin(session):
            return self.round_robin(session, now)
        first = None
        while True:
            peer = self.at(int(self.draw() * self.total_weight))
            if peer is not first and self.eligible(session, peer, now):
                if not self.two:
                    return self.take(session, peer, now)
                if first is not None:
                    if self.worse(peer, first, now):
                        peer = first
                    return self.take(session, peer, now)
                first = peer
            session.tries += 1
            if session.tries > MOST_TRIES:
                return self.round_robin(session, now)

    @staticmethod
    def worse(peer, first, _now):
        """Whether the second of two is the one not to take."""
        return peer.conns * first.weight > first.conns * peer.weight


class NginxRandomTwo(NginxRandom):
    """B6, `random two`: the first of two counts as a try."""

    two = True


class NginxRandomTwoLeastTime(NginxRandomTwo):
    """The same by time."""

    def __init__(self, peers, draw, by):
        super().__init__(peers, draw)
        self.by = by

    def worse(self, peer, first, now):
        second, other = (NginxLeastTime.expected(self, one, now) for one in (peer, first))
        return second * first.weight > other * peer.weight

    took = NginxLeastTime.took
