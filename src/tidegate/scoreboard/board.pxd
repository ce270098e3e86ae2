"""The board's C side, for compiled modules that use it directly."""

from libc.stdint cimport uint64_t

from tidegate.scoreboard.layout cimport Map
from tidegate.scoreboard.memory cimport Memory


cdef class Board(Memory):
    cdef Map map
    cdef readonly int workers
    cdef readonly int upstreams
    cdef readonly int peers


cdef class Words:
    cdef Board board
    cdef uint64_t *first
    cdef Py_ssize_t count
    cdef Py_ssize_t step


cdef class PeerRow:
    cdef readonly int conns
    cdef readonly uint64_t selected
    cdef readonly int fails
    cdef readonly unsigned int total_fails
    cdef readonly int checked
    cdef readonly int accessed
    cdef readonly long back
    cdef readonly int early_closes
    cdef readonly int failed_why
    cdef readonly long failed_at
    cdef readonly unsigned int connect_ms
    cdef readonly unsigned int first_byte_ms
    cdef readonly unsigned int last_byte_ms
    cdef readonly unsigned int inflight_ms
    cdef readonly long inflight


cdef class UpstreamRow:
    cdef readonly unsigned int deaths
    cdef readonly unsigned int unlocked


cdef inline int within(int index, int count, str what) except -1:
    if not 0 <= index < count:
        raise IndexError(f"{what} {index} of {count}")
    return index
