"""One peer as a choice sees it, and what makes it one that may be chosen (nginx's rules B0)."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from tidegate.scoreboard.layout cimport Row, State
from tidegate.scoreboard.mutex cimport read_i32

cdef enum:
    WHOLE = 1024  # the share of its weight that a peer has when `slow_start` does not run

cdef struct Candidate:
    # One peer of a group: where its state is, what the configuration says, and a choice's notes.
    Row *row
    int32_t *gauge
    int index
    int server
    int weight
    int max_conns
    int max_fails
    int fail_timeout
    bint down
    bint backup
    int slow_start  # ms, 0 without
    int share  # of WHOLE
    bint held_back
    bint credited
    bint moved
    int next_effective_weight
    int64_t next_current_weight
    bint flying  # somebody is under way to it, and so its average of that moves
    uint32_t next_inflight_ms
    uint64_t expected
    int64_t next_credit
    int64_t price  # of a choice, in credit


cdef inline bint full(Candidate *candidate) noexcept nogil:
    return candidate.max_conns > 0 and (
        read_i32(&candidate.row.state.conns) >= candidate.max_conns
    )


cdef inline bint out_of_service(Candidate *candidate, int32_t now) noexcept nogil:
    """Whether failures keep the peer out; one trial is let through per `fail_timeout`."""
    cdef State *state = &candidate.row.state
    return (
        candidate.max_fails > 0
        and state.fails >= candidate.max_fails
        and now - state.checked <= candidate.fail_timeout
    )


cdef inline bint eligible(
    Candidate *candidates, int index, const unsigned char *tried, int32_t now
) noexcept nogil:
    cdef Candidate *candidate = &candidates[index]
    if candidate.down or candidate.held_back or (tried is not NULL and tried[index]):
        return False
    return not out_of_service(candidate, now) and not full(candidate)


cdef inline int compare_load(Candidate *one, Candidate *other) noexcept nogil:
    """Below 0 when `one` has fewer connections for its weight now than `other`, 0 when as many."""
    cdef int64_t first = <int64_t> read_i32(&one.row.state.conns) * other.weight * other.share
    cdef int64_t second = <int64_t> read_i32(&other.row.state.conns) * one.weight * one.share
    return (first > second) - (first < second)


cdef inline void keep_weights(Candidate *candidates, int count) noexcept nogil:
    """Begin a choice: so far it moves nothing."""
    cdef int index
    for index in range(count):
        candidates[index].moved = candidates[index].flying = False


cdef inline bint moves(Candidate *candidate) noexcept nogil:
    """Whether a choice moves something of the peer, be it chosen or not."""
    return candidate.moved or candidate.flying or candidate.credited


cdef inline void note_next(Candidate *candidate) noexcept nogil:
    """Write into the row what a choice moves of it, to be put into force with the choice."""
    cdef Row *row = candidate.row
    row.next_current_weight = row.current_weight
    row.next_effective_weight = row.state.effective_weight
    row.next_inflight_ms = row.inflight_ms
    row.next_credit = row.credit
    if candidate.moved:
        row.next_current_weight = candidate.next_current_weight
        row.next_effective_weight = candidate.next_effective_weight
    if candidate.flying:
        row.next_inflight_ms = candidate.next_inflight_ms
    if candidate.credited:
        row.next_credit = candidate.next_credit
