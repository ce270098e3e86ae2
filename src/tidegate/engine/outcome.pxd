from tidegate.engine.tls_context cimport ClientTls
from tidegate.engine.types cimport Session, Terms

cdef void drop_terms(Terms *terms) noexcept nogil


cdef class Relay:
    cdef Terms *terms


cdef class Need:
    cdef unsigned int size


cdef class Connect:
    cdef bytes address
    cdef bytes local
    cdef bytes first
    cdef Relay relay
    cdef long timeout_ms
    cdef bint keepalive
    cdef bint notify
    cdef bint transparent
    cdef unsigned int take
    cdef unsigned int answer_size
    cdef long answer_ms
    cdef long idle_ms
    cdef ClientTls tls
    cdef unsigned int plain


cdef class Accept:
    cdef bytes data
    cdef unsigned int take
    cdef long idle_ms


cdef class Refuse:
    cdef int status
    cdef bytes data


cdef class Later:
    pass


cdef class Report:
    cdef readonly str reason
    cdef readonly int status
    cdef readonly int error
    cdef readonly unsigned long long bytes_received
    cdef readonly unsigned long long bytes_sent
    cdef readonly unsigned long long upstream_bytes_received
    cdef readonly unsigned long long upstream_bytes_sent
    cdef readonly long long session_ms
    cdef readonly long long connect_ms
    cdef readonly long long first_byte_ms
    cdef readonly long long upstream_ms
    cdef void fill(self, Session *s)
