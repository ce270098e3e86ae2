from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from tidegate.bench.types cimport Client, Fault, Load, Texts

cdef int64_t read_clock() noexcept nogil
cdef const char *text_of(Texts *texts, Client *c, uint32_t *size) noexcept nogil
cdef void want(Load *load, Client *c, int op, bint writing) noexcept nogil
cdef bint behind(Client *c) noexcept nogil
cdef bint timed(Load *load) noexcept nogil
cdef bint may_send(Load *load) noexcept nogil
cdef void publish(Load *load, Client *c, int64_t due) noexcept nogil
cdef void send_bytes(Load *load, Client *c, const char *data, uint32_t size) noexcept nogil
cdef void reply(Load *load, Client *c, uint8_t first, uint16_t packet_id) noexcept nogil
cdef void pong(Load *load, Client *c) noexcept nogil
cdef void drop_answer(Client *c) noexcept nogil
cdef void ping(Load *load, Client *c) noexcept nogil
cdef void flush(Load *load, Client *c) noexcept nogil
cdef Fault fault_of(int error) noexcept nogil
cdef void fail(Load *load, Client *c, Fault fault) noexcept nogil
cdef void leave(Load *load, Client *c) noexcept nogil
