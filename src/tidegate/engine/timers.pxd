from libc.stdint cimport int64_t, uint32_t

from tidegate.engine.types cimport Session, Timers

cdef bint timers_set(Timers *timers, Session *session, int64_t at) noexcept nogil
cdef bint timers_keep_room(Timers *timers, uint32_t count) noexcept nogil
cdef void timers_drop(Timers *timers, Session *session) noexcept nogil
cdef void timers_free(Timers *timers) noexcept nogil
