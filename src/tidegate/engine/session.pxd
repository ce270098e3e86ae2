from libc.stdint cimport int64_t, uint32_t

from tidegate.engine.types cimport Core, Session

cdef void arrive(
    Core *core, Session *s, int64_t header_ms, bint asks_accept
) noexcept nogil
cdef void proceed(Core *core, Session *s) noexcept nogil
cdef void shake_on(Core *core, Session *s) noexcept nogil
cdef void preread(Core *core, Session *s, uint32_t need, int64_t until) noexcept nogil
cdef void say(Core *core, Session *s, const char *data, uint32_t size) noexcept nogil
cdef void refuse(Core *core, Session *s, const char *data, uint32_t size) noexcept nogil
cdef void on_event(Core *core, Session *s, int side, uint32_t events) noexcept nogil
cdef void on_deadline(Core *core, Session *s) noexcept nogil
