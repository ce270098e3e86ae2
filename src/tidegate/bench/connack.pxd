from libc.stdint cimport uint8_t

from tidegate.bench.types cimport Properties

cdef void read_property(Properties *found, uint8_t byte) noexcept nogil
