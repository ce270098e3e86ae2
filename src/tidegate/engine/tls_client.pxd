from tidegate.engine.tls_context cimport Context
from tidegate.engine.types cimport End

cdef class Resumption:
    cdef void *slot

cdef class ClientTls:
    cdef Context context
    cdef bint verifies_name
    cdef bytes name
    cdef bint sends_name
    cdef Resumption resumption
    cdef object pairs
    cdef begin(self, End *end)
