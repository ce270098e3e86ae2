"""Smooth weighted round robin, as nginx's `ngx_stream_upstream_get_peer` does it.

`choose` only reads the board and notes the outcome in the candidates; writing it is the caller's.
"""

from libc.stdint cimport int32_t, int64_t

from tidegate.scoreboard.candidate cimport Candidate, eligible, keep_weights

cdef enum:
    ANY_SERVER = -1


cdef inline int64_t advance(Candidate *candidate) noexcept nogil:
    """Note that a peer takes part in a round; returns what it adds to the round's total."""
    cdef int weight = candidate.row.state.effective_weight
    candidate.moved = True
    candidate.next_effective_weight = min(weight + 1, candidate.weight)
    cdef int64_t step = <int64_t> weight * candidate.share
    candidate.next_current_weight = candidate.row.current_weight + step
    return step


cdef inline int choose(
    Candidate *candidates,
    int count,
    const unsigned char *tried,
    bint backup,
    int server,
    int32_t now,
) noexcept nogil:
    """Index of the peer whose turn it is among the primaries or the backups; -1 for none.

    Where `server` is not ANY_SERVER, only its addresses take part.
    """
    cdef int64_t total = 0
    cdef int index, best = -1
    keep_weights(candidates, count)
    for index in range(count):
        if candidates[index].backup != backup or not eligible(candidates, index, tried, now):
            continue
        if server != ANY_SERVER and candidates[index].server != server:
            continue
        total += advance(&candidates[index])
        if best < 0 or (
            candidates[index].next_current_weight > candidates[best].next_current_weight
        ):
            best = index
    if best >= 0:
        candidates[best].next_current_weight -= total
    return best
