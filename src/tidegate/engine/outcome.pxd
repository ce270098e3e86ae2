from tidegate.engine.tls_client cimport ClientTls
from tidegate.engine.tls_context cimport Context
from tidegate.engine.types cimport Session, Terms

cdef void drop_terms(Terms *terms) noexcept nogil


cdef class Relay:
    cdef Terms *terms


cdef class Need:
    cdef unsigned int size
    cdef long timeout_ms


cdef class Say:
    cdef bytes data
    cdef unsigned int take
    cdef unsigned int need
    cdef unsigned int size
    cdef long timeout_ms
    cdef long send_ms
    cdef bint idle
    cdef object session


cdef class Pass:
    cdef object session
    cdef object release
    cdef bint asks_accept
    cdef bint idle_counts
    cdef long header_timeout_ms
    cdef unsigned int preread_size
    cdef long preread_timeout_ms
    cdef Context tls


cdef class Tell:
    cdef bytes data
    cdef unsigned int take
    cdef unsigned int need


cdef class Connect:
    cdef bytes address
    cdef bytes local
    cdef bytes first
    cdef Relay relay
    cdef long timeout_ms
    cdef bint keepalive
    cdef bint notify
    cdef bint hears
    cdef bint transparent
    cdef unsigned int take
    cdef unsigned int answer_size
    cdef long answer_ms
    cdef long idle_ms
    cdef ClientTls tls
    cdef unsigned int plain
    cdef long long upload
    cdef long body_ms

    cpdef Connect opened(
        self,
        bytes first,
        unsigned int take,
        unsigned int answer_size,
        long answer_ms,
        long idle_ms,
        long long upload,
        long body_ms,
    )


cdef class Framing:
    cdef unsigned long long remaining
    cdef bytes mask
    cdef bint final
    cdef bint continues
    cdef unsigned long long limit


cdef class Accept:
    cdef bytes data
    cdef unsigned int take
    cdef long idle_ms
    cdef long long download
    cdef bint again
    cdef bint uploads
    cdef long long upload
    cdef unsigned int tap
    cdef Relay relay
    cdef Framing framing


cdef class Heard:
    cdef long idle_ms
    cdef Relay relay


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
    cdef readonly long long upload_left
    cdef readonly long long download_left
    cdef readonly unsigned long long streamed
    cdef void fill(self, Session *s)
