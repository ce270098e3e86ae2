from libc.stdint cimport int64_t

from tidegate.engine.types cimport Core, Listener, Session

cdef void accept_from(Core *core, Listener *listener) noexcept nogil
cdef void empty_queue(Core *core, Listener *listener) noexcept nogil
cdef bint watch_listener(Core *core, Listener *listener) noexcept nogil
cdef void unwatch_listener(Core *core, Listener *listener) noexcept nogil
cdef void pause_accepting(Core *core, int error) noexcept nogil
cdef void pause_if_full(Core *core) noexcept nogil
cdef void resume_accepting(Core *core) noexcept nogil
cdef leave_listener(Core *core, Session *s)
cdef free_listener(Core *core, Listener *listener)
