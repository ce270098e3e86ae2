from tidegate.engine.openssl cimport SSL
from tidegate.engine.types cimport Tls

cdef class Context:
    cdef Tls *tls
    cdef object __weakref__

cdef void change_context(SSL *ssl, Context context) noexcept
