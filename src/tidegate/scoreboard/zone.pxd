"""A zone's C side."""

from libc.stdint cimport uint32_t

from tidegate.scoreboard.cells cimport Table


cdef class Zone:
    cdef Table table
    cdef char *base
    cdef unsigned long inode
    cdef readonly size_t size
    cdef readonly int fd
    cdef readonly int worker

    cdef int map_memory(self, int fd) except -1
    cdef int count_one(
        self, const unsigned char *key, uint32_t size, int most
    ) noexcept nogil
    cdef bint take_back(self, uint32_t entry) noexcept nogil
