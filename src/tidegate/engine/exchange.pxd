from libc.stdint cimport int64_t, uint32_t

from tidegate.engine.types cimport Exchange, Session

cdef enum:
    # What `account` found.
    SPENT = 1  # the side's bound is reached
    SHOW = 2  # Python waits for no more of the client's bytes than it is to be shown now

cdef Exchange *exchange_of(Session *s) noexcept nogil
cdef void drop_exchange(Session *s) noexcept nogil
cdef void drop_first(Session *s, uint32_t size) noexcept nogil
cdef bint streams(Session *s) noexcept nogil
cdef bint exhausted(Session *s, int side) noexcept nogil
cdef bint complete(Session *s) noexcept nogil
cdef void meter(Session *s) noexcept nogil
cdef size_t bounded(Session *s, int side, size_t size) noexcept nogil
cdef int account(Session *s, int side, const char *data, uint32_t size) noexcept nogil
cdef int tap(Session *s, const char *data, uint32_t size) noexcept nogil
