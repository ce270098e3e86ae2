"""Reading a PROXY protocol header, and not a byte behind it.

Here is known where a header ends. What stands in it is for Python (`wire/proxy_protocol.py`).
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memchr, memcmp, memcpy

from tidegate.engine.linux cimport MSG_PEEK, recv, ssize_t
from tidegate.engine.pending cimport append
from tidegate.engine.types cimport CLIENT, Core, Session

cdef enum:
    SIGNATURE = 12  # of version 2
    FIXED = 16  # its part of fixed length, with the length of the rest at the end
    WORD = 6  # version 1 begins with "PROXY "
    LONGEST_LINE = 107  # of version 1, its CRLF included
    LONGEST = 4096  # nginx's bound too (1.23.2)
    # What Python sees of a first packet that is no header: more than any line of version 1.
    SHOWN = 108


cdef int64_t header_size(const char *data, size_t have) noexcept nogil:
    """The bytes of the header that `data` begins with: 0 is not yet known, -1 is no header."""
    if memcmp(data, b"\r\n\r\n\0\r\nQUIT\n", have if have < SIGNATURE else SIGNATURE) == 0:
        return size_2(<const uint8_t *>data, have)
    if memcmp(data, b"PROXY ", have if have < WORD else WORD) == 0:
        return size_1(data, have)
    return -1


cdef int64_t size_1(const char *data, size_t have) noexcept nogil:
    cdef size_t seen = have if have < LONGEST_LINE else LONGEST_LINE
    cdef const char *end = <const char *>memchr(data, b"\n", seen)
    if end is NULL:
        return 0 if have < LONGEST_LINE else -1
    return end - data + 1 if (end - 1)[0] == b"\r" else -1


cdef int64_t size_2(const uint8_t *data, size_t have) noexcept nogil:
    cdef size_t size
    if have > SIGNATURE and data[SIGNATURE] >> 4 != 2:
        return -1
    if have < FIXED:
        return 0
    size = FIXED + (<size_t>data[FIXED - 2] << 8) + data[FIXED - 1]
    if size > LONGEST:
        return -1
    return <int64_t>size if have >= size else 0


cdef Taken take_header(Core *core, Session *s) noexcept nogil:
    """Take what has come of the header into `s.preread`; what is behind it stays in the kernel.

    All there is to come may also be an end, an error (`s.error`), or what is no header.
    """
    cdef uint32_t have = s.preread.end if s.preread is not NULL else 0
    cdef char *behind = core.buffer + have
    cdef int fd = s.ends[CLIENT].fd
    cdef ssize_t n = recv(fd, behind, LONGEST - have, MSG_PEEK)
    cdef int64_t size
    if n < 0 and (errno == EAGAIN or errno == EINTR):
        return TAKEN_SOME
    if n <= 0:
        s.error = errno if n < 0 else 0
        s.ends[CLIENT].ended = True
        return TAKEN_ALL
    if have:
        memcpy(core.buffer, s.preread.data, have)
    size = header_size(core.buffer, have + <size_t>n)
    if size > 0:
        n = <ssize_t>size - have
    if size < 0:
        if have + n > SHOWN:
            n = SHOWN - have if have < SHOWN else 0
    elif recv(fd, behind, <size_t>n, 0) != n:
        # What is peeked at again is what has just been there.
        return TAKEN_FAILED
    if not append(&s.preread, behind, <uint32_t>n):
        return TAKEN_FAILED
    return TAKEN_ALL if size != 0 else TAKEN_SOME


def measure(bytes data not None):
    """`header_size` for tests."""
    return header_size(data, len(data))
