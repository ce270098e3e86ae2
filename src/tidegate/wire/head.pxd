"""Heads of HTTP messages, and their fields: where in the bytes each of them stands."""

from libc.stddef cimport size_t


cdef struct Place:
    # Of one field, from the beginning of `data`.
    unsigned int name
    unsigned int name_size
    unsigned int value
    unsigned int value_size


cdef class Fields:
    cdef bytes data
    cdef Place *places
    cdef unsigned int count

    cdef int room_for(self, unsigned int count) except -1
    cdef bytes name_at(self, unsigned int at)
    cdef bytes value_at(self, unsigned int at)
    cdef int find(self, const char *name, size_t size, int after) noexcept
    cdef bint has_word(
        self, const char *name, size_t size, const char *word, size_t length
    ) noexcept
    cdef bytes joined(self, const char *name, size_t size)


cdef class RequestHead:
    cdef readonly bytes line
    cdef readonly bytes method
    cdef readonly bytes target
    cdef readonly int minor
    cdef readonly Fields fields
    cdef readonly object length
    cdef readonly bint chunked
    cdef readonly bytes host
    cdef readonly unsigned int size
    cdef readonly bytes path
    cdef readonly bytes args
    cdef readonly bytes host_name


cdef class ResponseHead:
    cdef readonly int status
    cdef readonly bytes line
    cdef readonly int minor
    cdef readonly Fields fields
    cdef readonly object length
    cdef readonly bint chunked
    cdef readonly unsigned int size


cdef bint same_name(const char *one, const char *lowered, size_t size) noexcept nogil
