from libc.stdint cimport uint32_t

from tidegate.engine.types cimport Pending

cdef Pending *pending_of(const char *data, uint32_t size, uint32_t more=*) noexcept nogil
cdef bint append(Pending **kept, const char *data, uint32_t size) noexcept nogil
