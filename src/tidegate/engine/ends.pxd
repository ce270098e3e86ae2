from libc.stdint cimport int64_t, uint32_t

from tidegate.engine.tls cimport Shake
from tidegate.engine.types cimport Call, Core, End, Reason, Session

cdef void occupy(Core *core, int places) noexcept nogil
cdef void call(Core *core, Session *s, Call bit) noexcept nogil
cdef void arm(Core *core, Session *s, int64_t at) noexcept nogil
cdef void wait_for_request(Core *core, Session *s) noexcept nogil
cdef void wait_no_longer(Core *core, Session *s) noexcept nogil
cdef void want(Core *core, Session *s, int side, uint32_t events) noexcept nogil
cdef void calm(Core *core, Session *s, int side) noexcept nogil
cdef Shake shake(Core *core, Session *s, int side) noexcept nogil
cdef void close_end(Core *core, End *end) noexcept nogil
cdef void leave_upstream(Core *core, Session *s) noexcept nogil
cdef void finish(Core *core, Session *s, Reason reason, bint linger) noexcept nogil
cdef void linger_over(Core *core, Session *s) noexcept nogil
cdef void linger_read(Core *core, Session *s, int side) noexcept nogil
cdef void bury(Core *core, Session *s) noexcept nogil
