from tidegate.engine.types cimport End, Tls

cdef class Context:
    cdef Tls *tls

cdef class Resumption:
    cdef void *slot

cdef class ClientTls:
    cdef Context context
    cdef bint verifies_name
    cdef bytes name
    cdef bint sends_name
    cdef Resumption resumption
    cdef begin(self, End *end)
