from libc.stdint cimport int64_t, uint32_t

from tidegate.engine.types cimport Core, Pending, Session

cdef void upload(Core *core, Session *s) noexcept nogil
cdef bint collect(
    Core *core, Session *s, int side, Pending **kept, uint32_t limit
) noexcept nogil
cdef void heard_frames(Core *core, Session *s) noexcept nogil
cdef void refresh(Core *core, Session *s, int side) noexcept nogil
cdef void begin_relay(Core *core, Session *s) noexcept nogil
cdef void on_relay(Core *core, Session *s, int side, uint32_t events) noexcept nogil
cdef void write_to(Core *core, Session *s, int side) noexcept nogil
cdef int64_t limit_ms(Session *s) noexcept nogil
cdef int64_t due(Session *s) noexcept nogil
