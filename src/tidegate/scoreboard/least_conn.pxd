"""The fewest connections for the weight, as nginx's `least_conn` counts; round robin among equals.

As `choose` of round robin this only reads the board and notes the outcome in the candidates.
"""

from libc.stdint cimport int32_t, int64_t

from tidegate.scoreboard.candidate cimport Candidate, compare_load, eligible, keep_weights
from tidegate.scoreboard.round_robin cimport advance


cdef inline int choose_least(
    Candidate *candidates, int count, const unsigned char *tried, bint backup, int32_t now
) noexcept nogil:
    """Index of the least loaded peer among the primaries or the backups; -1 for none."""
    cdef int index, order, first = -1
    cdef bint many = False
    keep_weights(candidates, count)
    for index in range(count):
        if candidates[index].backup != backup or not eligible(candidates, index, tried, now):
            continue
        order = -1 if first < 0 else compare_load(&candidates[index], &candidates[first])
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
        if candidates[index].backup != backup or not eligible(candidates, index, tried, now):
            continue
        if compare_load(&candidates[index], &candidates[first]) != 0:
            continue
        total += advance(&candidates[index])
        if candidates[index].next_current_weight > candidates[best].next_current_weight:
            best = index
    candidates[best].next_current_weight -= total
    return best
