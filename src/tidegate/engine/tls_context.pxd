from tidegate.engine.openssl cimport SSL
from tidegate.engine.types cimport Tls

cdef class Context:
    cdef Tls *tls

cdef give_answer(SSL *ssl, pairs)
