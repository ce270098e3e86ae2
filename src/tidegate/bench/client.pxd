from libc.stdint cimport int64_t, uint32_t

from tidegate.bench.types cimport Client, Load

cdef void open_client(Load *load, Client *c) noexcept nogil
cdef void on_event(Load *load, Client *c, uint32_t events) noexcept nogil
cdef void wait_in_line(Load *load, Client *c) noexcept nogil
cdef void begin_sending(Load *load, Client *c) noexcept nogil
cdef int64_t period_of(Load *load) noexcept nogil
