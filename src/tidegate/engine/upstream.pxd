from libc.stdint cimport int64_t, uint32_t

from tidegate.engine.linux cimport sockaddr
from tidegate.engine.types cimport Core, Session

cdef int connect_upstream(
    Core *core,
    Session *s,
    const sockaddr *address,
    uint32_t address_size,
    const sockaddr *local,
    uint32_t local_size,
    bint keepalive,
    bint transparent,
) noexcept nogil
cdef void fail_try(Core *core, Session *s, int error) noexcept nogil
cdef void established(Core *core, Session *s, uint32_t events) noexcept nogil
cdef void shake_upstream(Core *core, Session *s) noexcept nogil
cdef void inspect(Core *core, Session *s, uint32_t need) noexcept nogil
cdef void read_answer(Core *core, Session *s) noexcept nogil
cdef int64_t patience(Session *s) noexcept nogil
cdef void send_on(Core *core, Session *s, int side, uint32_t events) noexcept nogil
cdef bint give(Core *core, Session *s, const char *data, uint32_t size) noexcept nogil
cdef void accept_answer(Core *core, Session *s) noexcept nogil
