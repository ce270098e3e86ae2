from tidegate.bench.types cimport Client, Load
from tidegate.engine.linux cimport ssize_t
from tidegate.engine.tls_context cimport Context

cdef enum Step:
    # How a step of a handshake went.
    STEP_DONE = 0
    STEP_READ
    STEP_WRITE
    STEP_CLOSED
    STEP_FAILED

cdef bint begin_tls(Load *load, Client *c) noexcept nogil
cdef Step step_tls(Load *load, Client *c) noexcept nogil
cdef ssize_t read_tls(Load *load, Client *c, char *buffer, size_t size) noexcept nogil
cdef ssize_t write_tls(Load *load, Client *c, const char *data, size_t size) noexcept nogil
cdef bint has_more(Client *c) noexcept nogil
cdef void forget_session(Client *c) noexcept nogil
cdef void end_tls(Client *c, bint politely) noexcept nogil


cdef class TargetTls:
    cdef Context context
    cdef bytes server_name
    cdef bytes verified_name
    cdef bint reuse
    cdef void lend(self, Load *load)
