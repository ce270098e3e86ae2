from libc.stdint cimport uint32_t

from tidegate.engine.types cimport Core, Frames, Session

cdef enum:
    # Room in front of what is read, for the head of its frame.
    HEADROOM = 4
    # As much of it as that head can tell.
    MOST_IN_FRAME = 65532

cdef Frames *frames_of(Session *s) noexcept nogil
cdef bint holds_back(Session *s) noexcept nogil
cdef uint32_t unwrap(Frames *f, char *data, uint32_t size) noexcept nogil
cdef uint32_t put_head(char *room, uint32_t size) noexcept nogil
cdef void say_close(Session *s) noexcept nogil
