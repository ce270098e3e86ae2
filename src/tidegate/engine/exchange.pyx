"""Requests and answers inside one session: how far each goes, and what of it Python is shown.

A server that tells requests apart bounds how many bytes a side may send to the other; a relay
without bounds has no Exchange, and pays nothing for it. Nothing here calls up: `account` says what
it found.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memmove

from tidegate.engine.pending cimport append
from tidegate.engine.types cimport CLIENT, UPSTREAM, UPSTREAM_CLOSED, Exchange, Session


cdef Exchange *exchange_of(Session *s) noexcept nogil:
    """The session's, made when it is first needed; NULL without memory."""
    if s.exchange is NULL:
        s.exchange = <Exchange *>calloc(1, sizeof(Exchange))
        if s.exchange is not NULL:
            s.exchange.left[CLIENT] = s.exchange.left[UPSTREAM] = -1
    return s.exchange


cdef void drop_exchange(Session *s) noexcept nogil:
    if s.exchange is NULL:
        return
    if s.exchange.frames is not NULL:
        free(s.exchange.frames.reply)
        free(s.exchange.frames)
    free(s.exchange.tapped)
    free(s.exchange)
    s.exchange = NULL
    s.ends[CLIENT].metered = s.ends[UPSTREAM].metered = False


cdef void drop_first(Session *s, uint32_t size) noexcept nogil:
    """Let go what is done with of the bytes that were preread."""
    cdef uint32_t kept = s.preread.end if s.preread is not NULL else 0
    if size == 0:
        return
    if size >= kept:
        free(s.preread)
        s.preread = NULL
        return
    memmove(s.preread.data, s.preread.data + size, kept - size)
    s.preread.end = kept - size


cdef bint streams(Session *s) noexcept nogil:
    """Whether the client's bytes go to an upstream that is yet to answer."""
    return (
        s.exchange is not NULL
        and s.exchange.streams
        and s.exchange.left[CLIENT] > 0
        and not s.ends[UPSTREAM].broken
    )


cdef bint exhausted(Session *s, int side) noexcept nogil:
    """Whether this side has sent all that it may."""
    return s.exchange is not NULL and s.exchange.left[side] == 0


cdef bint complete(Session *s) noexcept nogil:
    """Of an upstream that has ended: whether it said all, and the client may ask again."""
    cdef Exchange *x = s.exchange
    if x is NULL or not x.again or s.ends[CLIENT].broken:
        return False
    if x.left[UPSTREAM] < 0:
        return s.reason == UPSTREAM_CLOSED
    return x.left[UPSTREAM] == 0


cdef void meter(Session *s) noexcept nogil:
    """Note which sides a relay has to look at more closely."""
    cdef Exchange *x = s.exchange
    cdef int side
    for side in range(2):
        s.ends[side].metered = s.terms.rates[side] != 0 or (x is not NULL and x.left[side] >= 0)
    if x is not NULL and x.tap:
        s.ends[CLIENT].metered = True
    if x is not NULL and x.frames is not NULL:
        s.ends[CLIENT].metered = s.ends[UPSTREAM].metered = True


cdef size_t bounded(Session *s, int side, size_t size) noexcept nogil:
    """How much of a read this side's bound allows."""
    cdef int64_t left = s.exchange.left[side] if s.exchange is not NULL else -1
    return <size_t>left if 0 <= left < <int64_t>size else size


cdef int account(Session *s, int side, const char *data, uint32_t size) noexcept nogil:
    """Count bytes that went to the other side; SPENT, SHOW, both or 0."""
    cdef Exchange *x = s.exchange
    cdef int found = 0
    if x is NULL:
        return 0
    if side == CLIENT:
        found = tap(s, data, size)
    if x.left[side] > 0:
        x.left[side] -= size
        if x.left[side] == 0:
            found |= SPENT
    return found


cdef int tap(Session *s, const char *data, uint32_t size) noexcept nogil:
    """Keep a copy of the client's bytes, as far as Python may see them; SHOW when it is to."""
    cdef Exchange *x = s.exchange
    cdef uint32_t have = x.tapped.end if x.tapped is not NULL else 0
    if x.tap == 0 or have == x.tap:
        return 0
    if size > x.tap - have:
        size = x.tap - have
    if not append(&x.tapped, data, size):
        # What is only looked at in passing may be missed.
        x.tap = 0
        return 0
    return SHOW if have + size >= x.tap_need or have + size == x.tap else 0
