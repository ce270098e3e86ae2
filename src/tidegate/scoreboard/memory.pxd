"""Shared memory's C side."""


cdef class Memory:
    cdef char *base
    cdef readonly size_t size
    cdef readonly int fd

    cdef int make(self, str what, size_t size) except -1
    cdef int join(self, int fd, str what, size_t least, size_t most) except -1
    cdef int map_memory(self, int fd, str what) except -1
