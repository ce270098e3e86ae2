"""`slow_start`, restated in plain Python from its description, for tests to compare with.

Nothing here is shared with what is tested, but for the grain of the share: 1024 steps.
"""

from fractions import Fraction

from lab.restated import Nginx, NginxLeastConn, NginxLeastTime

STEPS = 1024


class SlowStart(Nginx):
    """Round robin with peers that come back; `now` is whole seconds, `slow_start_ms` is not."""

    def __init__(self, peers, **options):
        super().__init__([without_slow_start(numbers) for numbers in peers], **options)
        for peer, numbers in zip(self.peers, peers, strict=True):
            peer.slow_start_ms = numbers["slow_start_ms"]
            peer.back = None
        self.now = 0  # whoever lets time go by sets it

    def share(self, peer):
        """The part of its weight that a peer has now."""
        if peer.back is None:
            return Fraction(1)
        passed = (self.now - peer.back) * 1000
        if passed >= peer.slow_start_ms:
            peer.back = None
            return Fraction(1)
        return Fraction(max(1, passed * STEPS // peer.slow_start_ms), STEPS)

    def smooth(self, session, now, peers):
        best, total = None, 0
        for peer in peers:
            if not self.eligible(session, peer, now):
                continue
            step = peer.effective * self.share(peer)
            peer.current += step
            total += step
            peer.effective = min(peer.effective + 1, peer.weight)
            if best is None or peer.current > best.current:
                best = peer
        if best is not None:
            best.current -= total
        return best

    def notify_connect(self, index):
        peer = self.peers[index]
        out = 0 < peer.max_fails <= peer.fails
        super().notify_connect(index)
        if out and peer.fails == 0 and peer.slow_start_ms:
            peer.back = self.now


class ByLoad(SlowStart):
    """The least `load` for the weight; who comes back has credit for its part of the choices."""

    def __init__(self, peers, **options):
        super().__init__(peers, **options)
        self.credit = [Fraction(0)] * len(self.peers)

    def least(self, session, now, peers):
        """The choice, and what it leaves of credits."""
        live = [peer for peer in peers if self.eligible(session, peer, now)]
        price = sum(peer.weight * self.share(peer) for peer in live)
        coming = [peer for peer in live if self.share(peer) < 1]
        for peer in coming:
            self.credit[peer.index] += peer.weight * self.share(peer)
        poor = [peer for peer in coming if self.credit[peer.index] < price]
        # Rather somebody without credit than nobody.
        best = self.least_of([peer for peer in live if peer not in poor] or live)
        for peer in coming:
            left = self.credit[peer.index] - (price if peer is best else 0)
            self.credit[peer.index] = min(max(left, Fraction(0)), price)
        return best

    def least_of(self, live):
        """The one with the fewest sessions for its weight now; of equals, whose turn it is."""
        if not live:
            return None
        loads = [self.load(peer) / (peer.weight * self.share(peer)) for peer in live]
        tied = [peer for peer, load in zip(live, loads, strict=True) if load == min(loads)]
        if len(tied) == 1:
            return tied[0]
        for peer in tied:
            peer.current += peer.effective * self.share(peer)
        total = sum(peer.effective * self.share(peer) for peer in tied)
        for peer in tied:
            peer.effective = min(peer.effective + 1, peer.weight)
        best = max(tied, key=lambda peer: peer.current)
        best.current -= total
        return best


class SlowStartLeastConn(ByLoad, NginxLeastConn):
    """`least_conn`."""

    def load(self, peer):
        """Its sessions."""
        return peer.conns


class SlowStartLeastTime(ByLoad, NginxLeastTime):
    """`least_time`, without those under way."""

    soonest = ByLoad.least

    def load(self, peer):
        """The time that its sessions and one more will take."""
        return self.expected(peer, self.now)


def without_slow_start(numbers):
    """What stands behind a `server`, but for that."""
    return {name: value for name, value in numbers.items() if name != "slow_start_ms"}
