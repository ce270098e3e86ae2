from libc.stdint cimport int64_t, uint32_t

from tidegate.engine.linux cimport sockaddr
from tidegate.engine.types cimport Call, Core, Listener, Reason, Session

cdef void occupy(Core *core, int places) noexcept nogil
cdef void call(Core *core, Session *s, Call bit) noexcept nogil
cdef void arrive(Core *core, Session *s) noexcept nogil
cdef void proceed(Core *core, Session *s) noexcept nogil
cdef void preread(Core *core, Session *s, uint32_t need, int64_t until) noexcept nogil
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
cdef void leave_upstream(Core *core, Session *s) noexcept nogil
cdef void fail_try(Core *core, Session *s, int error) noexcept nogil
cdef void inspect(Core *core, Session *s, uint32_t need) noexcept nogil
cdef void accept_answer(Core *core, Session *s) noexcept nogil
cdef void refuse(Core *core, Session *s, const char *data, uint32_t size) noexcept nogil
cdef void finish(Core *core, Session *s, Reason reason, bint linger) noexcept nogil
cdef void linger_over(Core *core, Session *s) noexcept nogil
cdef void bury(Core *core, Session *s) noexcept nogil
cdef void on_event(Core *core, Session *s, int side, uint32_t events) noexcept nogil
cdef void on_deadline(Core *core, Session *s) noexcept nogil
cdef int64_t due(Session *s) noexcept nogil
