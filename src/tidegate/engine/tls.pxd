from tidegate.engine.linux cimport ssize_t
from tidegate.engine.types cimport Core, End, Session, Tls

cdef enum:
    # A fault's text is cut here; OpenSSL's own are about 100 characters each.
    FAULT_SIZE = 1024

cdef enum Shake:
    # How a step of a handshake went.
    SHAKE_DONE = 0
    SHAKE_READ
    SHAKE_WRITE
    SHAKE_ASKS  # for the certificates of this client
    SHAKE_GREETED  # the hello is there, and by it the rules are to be chosen
    SHAKE_FAILED

cdef size_t put_queue(char *out, size_t at) noexcept nogil
cdef void drop_tls(Tls *tls) noexcept nogil
cdef bint tls_accept(Session *s) noexcept nogil
cdef bint tls_start(End *end) noexcept nogil
cdef bint tls_stands(End *end) noexcept nogil
cdef Shake tls_shake(Session *s, int side) noexcept nogil
cdef ssize_t tls_read(
    Core *core, Session *s, int side, char *buffer, size_t size
) noexcept nogil
cdef ssize_t tls_write(Session *s, int side, const char *data, size_t size) noexcept nogil
cdef void tls_goodbye(End *end) noexcept nogil
cdef bint tls_unheard(End *end) noexcept nogil
cdef void tls_free(End *end) noexcept nogil
cdef void run_again(Core *core, Session *s, int side) noexcept nogil
cdef void note_fault(Session *s, const char *what, int error) noexcept nogil
