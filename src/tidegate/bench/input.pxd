from libc.stdint cimport uint8_t

from tidegate.bench.types cimport Input

cdef enum Split:
    MORE = 0
    WHOLE
    BROKEN

cdef Split split(Input *packet, const uint8_t **data, const uint8_t *end) noexcept nogil
