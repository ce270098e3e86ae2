from libc.stdint cimport int64_t

from tidegate.engine.types cimport Core, Session

cdef enum Taken:
    TAKEN_FAILED = -1
    TAKEN_SOME
    TAKEN_ALL

cdef int64_t header_size(const char *data, size_t have) noexcept nogil
cdef Taken take_header(Core *core, Session *s) noexcept nogil
