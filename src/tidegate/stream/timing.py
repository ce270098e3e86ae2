"""A session tells how long its node takes, where the method of its upstream goes by that.

Each function may be called for any session at its moment; most upstreams ask for none of it. The
engine has the times (`Report`): one stamp at the connect, one at the node's first byte, one at the
end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.balance.times import CONNECT, NOTED_FIRST_BYTE

if TYPE_CHECKING:
    from tidegate.stream.session import Session


def connected(session: Session, *, refusable: bool = False) -> None:
    """Its node took the connection; one that may refuse it yet has not served it."""
    times = session.proxy.upstream.times
    if times is None or times.by != CONNECT or session.attempt is None:
        return
    if refusable:
        times.left(session.attempt)
    else:
        times.connected(session.attempt, session.peer, session.progress)


def answered(session: Session) -> None:
    """Its node's first byte is here."""
    times = session.proxy.upstream.times
    if times is not None:
        now = session.progress
        times.answered(session.attempt, session.peer, now, first_ms=now.first_byte_ms)


def read(session: Session) -> None:
    """Its node's answer was read and is a good one: how long it took until now counts."""
    times = session.proxy.upstream.times
    if times is not None:
        now = session.progress
        times.answered(session.attempt, session.peer, now, first_ms=now.upstream_ms)


def not_served(session: Session) -> None:
    """Its node refuses it, and it is left at that."""
    times = session.proxy.upstream.times
    if times is not None:
        times.not_served(session.attempt)


def over(session: Session) -> None:
    """It has ended, and its node has served it."""
    times = session.proxy.upstream.times
    if times is not None:
        times.over(session.attempt, session.peer, session.progress)


def request_over(session: Session) -> None:
    """As `over`, of a request; as in nginx it counts once the node's answer had a head."""
    attempt = session.attempt
    if attempt is None or attempt.noted & NOTED_FIRST_BYTE:
        over(session)


def left(session: Session) -> None:
    """It is under way to no node any more."""
    attempt = session.attempt
    if attempt is not None and attempt.took_off >= 0:
        times = session.proxy.upstream.times
        assert times is not None
        times.left(attempt)


def settle(session: Session) -> None:
    """Let the attempt go, where nothing of it is asked for at the end."""
    if session.attempt is None:
        return
    times = session.proxy.upstream.times
    if times is None or times.is_done_with(session.attempt):
        session.attempt = None
