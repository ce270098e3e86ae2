from tidegate.engine.openssl cimport SSL
from tidegate.engine.types cimport Tls

cdef class Context:
    cdef Tls *tls

cdef give_answer(SSL *ssl, pairs)
cdef asked_name(SSL *ssl)
cdef void greet(SSL *ssl) noexcept
cdef void change_context(SSL *ssl, Context context) noexcept
