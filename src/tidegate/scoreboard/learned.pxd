"""A learned table's C side."""

from libc.stdint cimport int32_t, uint32_t, uint64_t

from tidegate.scoreboard.cells cimport Table
from tidegate.scoreboard.memory cimport Memory


cdef class Learned(Memory):
    cdef Table table
    cdef unsigned long inode

    cdef uint32_t look(self, const unsigned char *key, uint32_t size) noexcept nogil
    cdef void put(
        self, const unsigned char *key, uint32_t size, uint64_t node, uint32_t at
    ) noexcept nogil
