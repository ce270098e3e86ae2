from libc.stdint cimport int64_t

from tidegate.engine.linux cimport epoll_event
from tidegate.engine.types cimport Core

cdef use_tls(Core *core)
cdef void read_clock(Core *core) noexcept nogil
cdef void empty_graveyard(Core *core) noexcept nogil
cdef int run(Core *core, epoll_event *events, int64_t deadline) noexcept nogil
