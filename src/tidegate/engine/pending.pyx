"""Bytes that wait: for their receiver, for more of them, or for Python to look at them."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport malloc, realloc
from libc.string cimport memcpy

from tidegate.engine.types cimport Pending


cdef Pending *pending_of(const char *data, uint32_t size, uint32_t more=0) noexcept nogil:
    """A copy of bytes that must wait, with room for `more` behind them; NULL without memory."""
    cdef Pending *pending = <Pending *>malloc(sizeof(Pending) + size + more)
    if pending is not NULL:
        pending.start = 0
        pending.end = size + more
        memcpy(pending.data, data, size)
    return pending


cdef bint append(Pending **kept, const char *data, uint32_t size) noexcept nogil:
    """Keep more bytes behind those that are kept; False without memory."""
    cdef uint32_t have = kept[0].end if kept[0] is not NULL else 0
    cdef Pending *grown = <Pending *>realloc(kept[0], sizeof(Pending) + have + size)
    if grown is NULL:
        return False
    memcpy(grown.data + have, data, size)
    if have == 0:
        grown.start = 0
    grown.end = have + size
    kept[0] = grown
    return True
