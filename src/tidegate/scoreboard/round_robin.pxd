"""Smooth weighted round robin, as nginx's `ngx_stream_upstream_get_peer` does it.

`choose` only reads the board and notes the outcome in the candidates; writing it is the caller's.
"""

from libc.stdint cimport int32_t, int64_t

from tidegate.scoreboard.layout cimport Row, State
from tidegate.scoreboard.mutex cimport read_i32

cdef struct Candidate:
    # One peer of a group: where its state is, what the configuration says, and a choice's notes.
    Row *row
    int32_t *gauge
    int index
    int weight
    int max_conns
    int max_fails
    int fail_timeout
    bint down
    bint backup
    bint moved
    int next_effective_weight
    int64_t next_current_weight


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


cdef inline int choose(
    Candidate *candidates, int count, const unsigned char *tried, bint backup, int32_t now
) noexcept nogil:
    """Index of the peer whose turn it is among the primaries or the backups; -1 for none."""
    cdef Candidate *candidate
    cdef Row *row
    cdef int64_t total = 0
    cdef int index, best = -1
    for index in range(count):
        candidate = &candidates[index]
        candidate.moved = False
        if candidate.backup != backup or (tried is not NULL and tried[index]):
            continue
        if candidate.down or out_of_service(candidate, now) or full(candidate):
            continue
        row = candidate.row
        candidate.moved = True
        candidate.next_current_weight = row.current_weight + row.state.effective_weight
        total += row.state.effective_weight
        candidate.next_effective_weight = min(row.state.effective_weight + 1, candidate.weight)
        if best < 0 or candidate.next_current_weight > candidates[best].next_current_weight:
            best = index
    if best >= 0:
        candidates[best].next_current_weight -= total
    return best
