from libc.stdint cimport int64_t, uint32_t

from tidegate.bench.types cimport Client, Fault, Load

cdef int64_t read_clock() noexcept nogil
cdef void open_client(Load *load, Client *c) noexcept nogil
cdef void on_event(Load *load, Client *c, uint32_t events) noexcept nogil
cdef void fail(Load *load, Client *c, Fault fault) noexcept nogil
cdef void ping(Load *load, Client *c) noexcept nogil
cdef void publish(Load *load, Client *c, int64_t due) noexcept nogil
cdef void leave(Load *load, Client *c) noexcept nogil
cdef void wait_in_line(Load *load, Client *c) noexcept nogil
cdef bint may_send(Load *load) noexcept nogil
cdef void begin_sending(Load *load, Client *c) noexcept nogil
