"""A zone's C side."""

from libc.stdint cimport uint32_t

from tidegate.scoreboard.cells cimport Table
from tidegate.scoreboard.memory cimport Memory


cdef class Zone(Memory):
    cdef Table table
    cdef unsigned long inode
    cdef readonly int worker

    cdef int count_one(
        self, const unsigned char *key, uint32_t size, int most
    ) noexcept nogil
    cdef bint take_back(self, uint32_t entry) noexcept nogil
