"""`slow_start`: a peer that comes back is given its share of the sessions by and by.

For `slow_start` ms from `back` on a peer has a `share` of its weight, more with each moment. Round
robin follows that by itself. Methods that go by load would send everybody to a peer that is empty,
so there each choice also earns a peer its part of it as credit, and only who has saved up a whole
choice may be chosen, as long as somebody else can be.
"""

from libc.stdint cimport int32_t, int64_t

from tidegate.scoreboard.candidate cimport WHOLE, Candidate, eligible
from tidegate.scoreboard.flights cimport milliseconds
from tidegate.scoreboard.layout cimport State


cdef inline int64_t moment(int clock) noexcept nogil:
    """Milliseconds of CLOCK_MONOTONIC, never 0; `clock` is as a group's."""
    cdef int64_t now = milliseconds() if clock < 0 else <int64_t> clock * 1000
    return now if now > 0 else 1


cdef inline void come_back(Candidate *candidate, State *state, int clock) noexcept nogil:
    """Note in `state` that the peer may be chosen again from now on."""
    state.back = moment(clock) if candidate.slow_start else 0


cdef inline void forgive(Candidate *candidate, State *state, int clock) noexcept nogil:
    """Forget failures; a peer that they had taken out of service comes back."""
    if 0 < candidate.max_fails <= state.fails:
        come_back(candidate, state, clock)
    state.fails = 0


cdef inline int share_at(int64_t back, int slow_start, int64_t now) noexcept nogil:
    """Share of its weight that a peer has; never 0, so that peers on their way are told apart."""
    cdef int64_t passed = now - back
    if passed >= slow_start:
        return WHOLE
    return <int> max(passed * WHOLE // slow_start, 1)


cdef inline bint measure(Candidate *candidates, int count, int clock) noexcept nogil:
    """Set the share of each peer as it is now; tells whether one is on its way."""
    cdef int64_t now = 0
    cdef bint slow = False
    cdef Candidate *candidate
    cdef int index
    for index in range(count):
        candidate = &candidates[index]
        candidate.share = WHOLE
        candidate.credited = False
        if candidate.slow_start == 0 or candidate.row.state.back == 0:
            continue
        if now == 0:
            now = moment(clock)
        candidate.share = share_at(candidate.row.state.back, candidate.slow_start, now)
        if candidate.share == WHOLE:
            # Else a reload with a longer time would take weight from a peer that is long back.
            candidate.row.state.back = 0
        slow |= candidate.share < WHOLE
    return slow


cdef inline int64_t ramped(Candidate *candidate) noexcept nogil:
    return <int64_t> candidate.weight * candidate.share


cdef inline void hold_back(
    Candidate *candidates, int count, const unsigned char *tried, bint backup, int32_t now
) noexcept nogil:
    """Before a choice: give credit, and hold back who has not enough of it."""
    cdef Candidate *candidate
    cdef int64_t total = 0
    cdef int index
    for index in range(count):
        if candidates[index].backup == backup and eligible(candidates, index, tried, now):
            total += ramped(&candidates[index])
    for index in range(count):
        candidate = &candidates[index]
        if candidate.share == WHOLE or candidate.backup != backup:
            continue
        if not eligible(candidates, index, tried, now):
            continue
        candidate.credited = True
        candidate.next_credit = candidate.row.credit + ramped(candidate)
        candidate.held_back = candidate.next_credit < total
        candidate.price = total


cdef inline void let_all(Candidate *candidates, int count) noexcept nogil:
    """Nobody else can be chosen: hold nobody back."""
    cdef int index
    for index in range(count):
        candidates[index].held_back = False


cdef inline void account(Candidate *candidates, int count, int chosen) noexcept nogil:
    """After a choice, -1 for none: note the credit that it leaves, to be written with the weights.

    Nobody saves more than one choice, or owes any.
    """
    cdef Candidate *candidate
    cdef int index
    let_all(candidates, count)
    for index in range(count):
        candidate = &candidates[index]
        if not candidate.credited:
            continue
        candidate.credited = chosen >= 0
        if index == chosen:
            candidate.next_credit = max(candidate.next_credit - candidate.price, 0)
        candidate.next_credit = min(candidate.next_credit, candidate.price)
