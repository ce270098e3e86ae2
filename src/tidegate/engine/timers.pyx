"""Deadlines of sessions: a binary heap, each session at most once in it.

Messages do not touch the heap: they store a time in the session, and a deadline that comes up too
early is set again for the rest.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, realloc

from tidegate.engine.types cimport Deadline, Session, Timers


cdef inline void place(Timers *timers, uint32_t at, Deadline entry) noexcept nogil:
    timers.heap[at] = entry
    entry.session.timer = <int>at


cdef void rise(Timers *timers, uint32_t at, Deadline entry) noexcept nogil:
    cdef uint32_t parent
    while at:
        parent = (at - 1) // 2
        if timers.heap[parent].at <= entry.at:
            break
        place(timers, at, timers.heap[parent])
        at = parent
    place(timers, at, entry)


cdef void sink(Timers *timers, uint32_t at, Deadline entry) noexcept nogil:
    cdef uint32_t child
    while True:
        child = 2 * at + 1
        if child >= timers.count:
            break
        if child + 1 < timers.count and timers.heap[child + 1].at < timers.heap[child].at:
            child += 1
        if timers.heap[child].at >= entry.at:
            break
        place(timers, at, timers.heap[child])
        at = child
    place(timers, at, entry)


cdef bint timers_set(Timers *timers, Session *session, int64_t at) noexcept nogil:
    """Set or move a session's deadline; False when there is no memory for it."""
    cdef Deadline entry
    cdef uint32_t place_at
    entry.at = at
    entry.session = session
    if session.timer >= 0:
        place_at = <uint32_t>session.timer
        if at <= timers.heap[place_at].at:
            rise(timers, place_at, entry)
        else:
            sink(timers, place_at, entry)
        return True
    if not timers_keep_room(timers, timers.count + 1):
        return False
    timers.count += 1
    rise(timers, timers.count - 1, entry)
    return True


cdef bint timers_keep_room(Timers *timers, uint32_t count) noexcept nogil:
    """See that so many deadlines find room; False without memory."""
    cdef Deadline *heap
    cdef uint32_t room
    if count <= timers.room:
        return True
    room = count + count // 4 + 63
    heap = <Deadline *>realloc(timers.heap, room * sizeof(Deadline))
    if heap is NULL:
        return False
    timers.heap = heap
    timers.room = room
    return True


cdef void timers_drop(Timers *timers, Session *session) noexcept nogil:
    """Take a session's deadline out, where it has one."""
    cdef uint32_t at
    cdef Deadline last
    if session.timer < 0:
        return
    at = <uint32_t>session.timer
    session.timer = -1
    timers.count -= 1
    if at == timers.count:
        return
    last = timers.heap[timers.count]
    if at and last.at < timers.heap[(at - 1) // 2].at:
        rise(timers, at, last)
    else:
        sink(timers, at, last)


cdef void timers_free(Timers *timers) noexcept nogil:
    free(timers.heap)
    timers.heap = NULL
    timers.count = timers.room = 0
