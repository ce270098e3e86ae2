"""The least time until a peer has done what it has and one more, as nginx's `least_time` guesses.

As `choose` of round robin this only reads the board and notes the outcome in the candidates. All
times are milliseconds; an average of 0 is none yet, and goes as one of less than `BUCKET_MS`.
"""

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint32_t, uint64_t

from tidegate.scoreboard.candidate cimport Candidate, eligible, keep_weights
from tidegate.scoreboard.flights cimport count_flights
from tidegate.scoreboard.layout cimport Map
from tidegate.scoreboard.mutex cimport read_i32
from tidegate.scoreboard.round_robin cimport advance

cdef enum:
    # nginx's: peers that differ by less take turns, and those that are slower are all as bad.
    BUCKET_MS = 20
    SLOWEST_MS = 5000


cdef inline uint32_t averaged(uint32_t average, int64_t ms) noexcept nogil:
    """The moving average with one more time, which counts for a twentieth; rounded, as in nginx."""
    if ms > INT32_MAX:
        ms = INT32_MAX
    if average == 0:
        return <uint32_t> ms
    return <uint32_t> ((19 * <int64_t> average + ms + 10) // 20)


cdef inline uint64_t expected(Candidate *candidate, int by, int32_t now) noexcept nogil:
    """Milliseconds until the peer has done what it has and one more session, by that average.

    Once in `fail_timeout` without a session the average counts for half, so that a peer which was
    slow is tried again.
    """
    cdef uint32_t ms = candidate.row.state.times[by]
    cdef int64_t idle = <int64_t> now - candidate.row.state.checked
    cdef int64_t halvings
    if idle > candidate.fail_timeout:
        halvings = idle // (<int64_t> candidate.fail_timeout + 1)
        ms = ms >> halvings if halvings < 32 else 0
    if candidate.flying:
        ms = max(ms, candidate.next_inflight_ms)
    if ms > SLOWEST_MS:
        ms = SLOWEST_MS
    else:
        ms += BUCKET_MS - ms % BUCKET_MS
    return ms * (1 + <uint64_t> read_i32(&candidate.row.state.conns))


cdef inline int compare_expected(Candidate *one, Candidate *other) noexcept nogil:
    """Below 0 when `one` would be done sooner for its weight now than `other`, 0 when as soon."""
    cdef uint64_t first = one.expected * other.weight * other.share
    cdef uint64_t second = other.expected * one.weight * one.share
    return (first > second) - (first < second)


cdef inline void look_at_flights(Map *board, Candidate *candidate, int64_t now_ms) noexcept nogil:
    """Average the mean age of those who are under way into what was known of it."""
    cdef int64_t began
    cdef int64_t count = count_flights(board, candidate.index, &began)
    candidate.flying = count > 0
    if count > 0:
        candidate.next_inflight_ms = averaged(
            candidate.row.inflight_ms, max(now_ms * count - began, 0) // count
        )


cdef inline int choose_soonest(
    Map *board,
    Candidate *candidates,
    int count,
    const unsigned char *tried,
    bint backup,
    int by,
    int32_t now,
    int64_t now_ms,
) noexcept nogil:
    """Index of the peer that would be done soonest among the primaries or the backups; -1 for none.

    Who is under way counts too, unless `now_ms` is below 0.
    """
    cdef int index, order, first = -1
    cdef bint many = False
    cdef Candidate *candidate
    keep_weights(candidates, count)
    for index in range(count):
        candidate = &candidates[index]
        if candidate.backup != backup or not eligible(candidates, index, tried, now):
            continue
        if now_ms >= 0:
            look_at_flights(board, candidate, now_ms)
        candidate.expected = expected(candidate, by, now)
        order = -1 if first < 0 else compare_expected(candidate, &candidates[first])
        if order < 0:
            first = index
            many = False
        elif order == 0:
            many = True
    if not many:
        return first
    cdef int64_t total = 0
    cdef int best = first
    for index in range(first, count):
        candidate = &candidates[index]
        if candidate.backup != backup or not eligible(candidates, index, tried, now):
            continue
        if compare_expected(candidate, &candidates[first]) != 0:
            continue
        total += advance(candidate)
        if candidate.next_current_weight > candidates[best].next_current_weight:
            best = index
    candidates[best].next_current_weight -= total
    return best
