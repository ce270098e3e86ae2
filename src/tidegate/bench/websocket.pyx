"""WebSocket as a client speaks it (RFC 6455): the answer to an upgrade, frames in and out.

What is sent often is framed and masked beforehand, in Python; one mask serves all clients of a
generator. Here are the small packets that are made on the way, and what the target sends.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport realloc
from libc.string cimport memcmp, memcpy

from tidegate.bench.reason cimport note
from tidegate.bench.types cimport CONTROL_SIZE, UPGRADE_REFUSED, Client, Frame, Load


cdef extern from "<string.h>" nogil:
    void *memmem(const void *hay, size_t hay_size, const void *needle, size_t needle_size)

cdef enum:
    FIN = 0x80
    MASKED = 0x80
    RESERVED = 0x70
    OPCODE = 0x0F
    CONTINUATION = 0
    BINARY = 2
    CONTROL = 8
    CLOSE = 8
    PING = 9
    PONG = 10
    # A head that is longer is none of a WebSocket's.
    LONGEST_ANSWER = 16384
    ACCEPT_SIZE = 28


cdef uint32_t small_frame(
    Load *load, uint8_t opcode, const char *data, uint32_t size, char *out
) noexcept nogil:
    """A masked frame of at most SMALL bytes into `out`; its size."""
    cdef uint32_t i
    out[0] = <char>(FIN | opcode)
    out[1] = <char>(MASKED | size)
    memcpy(out + 2, load.mask, 4)
    for i in range(size):
        out[SMALL_HEAD + i] = <char>(<uint8_t>data[i] ^ load.mask[i & 3])
    return SMALL_HEAD + size


# --- what the target sends ---


cdef Found take_frame(
    Frame *frame,
    const uint8_t **data,
    const uint8_t *end,
    const uint8_t **piece,
    uint32_t *size,
) noexcept nogil:
    """Go on to what is next in the bytes; `data` moves behind what was taken."""
    cdef size_t here
    while True:
        if not frame.open:
            if data[0] == end:
                return FRAME_MORE
            if not take_head(frame, data):
                return FRAME_BROKEN
            if not frame.open:
                continue
        here = <size_t>(end - data[0])
        if here > frame.left:
            here = <size_t>frame.left
        piece[0] = data[0]
        size[0] = <uint32_t>here
        data[0] += here
        frame.left -= here
        if not frame.head[0] & CONTROL:
            frame.open = frame.left > 0
            if here:
                return FRAME_DATA
        else:
            memcpy(frame.control + frame.control_size, piece[0], here)
            frame.control_size += <uint8_t>here
            frame.open = frame.left > 0
            if not frame.open and frame.head[0] & OPCODE != PONG:
                return FRAME_PING if frame.head[0] & OPCODE == PING else FRAME_CLOSE
        if frame.open:
            return FRAME_MORE


cdef bint take_head(Frame *frame, const uint8_t **data) noexcept nogil:
    """One byte of a frame's head; `open` when that was its last. False where it is not allowed."""
    cdef uint8_t opcode, i
    cdef uint8_t need = 2
    frame.head[frame.have] = data[0][0]
    frame.have += 1
    data[0] += 1
    if frame.have < 2:
        return True
    frame.left = frame.head[1] & 0x7F
    if frame.left == 126:
        need = 4
    elif frame.left == 127:
        need = 10
    if frame.have < need:
        return True
    if need > 2:
        frame.left = 0
        for i in range(2, need):
            frame.left = frame.left << 8 | frame.head[i]
    frame.have = 0
    frame.open = True
    frame.control_size = 0
    opcode = frame.head[0] & OPCODE
    if frame.head[1] & MASKED or frame.head[0] & RESERVED:
        return False
    if opcode & CONTROL:
        return opcode <= PONG and frame.head[0] & FIN != 0 and frame.left <= CONTROL_SIZE
    return opcode == BINARY or opcode == CONTINUATION


cdef Answer take_answer(
    Load *load, Client *c, const uint8_t **data, const uint8_t *end
) noexcept nogil:
    """Collect the head of the answer to the upgrade, and judge it."""
    cdef uint32_t before = c.answer_size
    cdef size_t more = <size_t>(end - data[0])
    cdef char *grown
    cdef const char *found
    if before + more > LONGEST_ANSWER:
        return ANSWER_BAD
    grown = <char *>realloc(c.answer, before + more)
    if grown is NULL:
        return ANSWER_BAD
    c.answer = grown
    memcpy(c.answer + before, data[0], more)
    c.answer_size = <uint32_t>(before + more)
    found = <const char *>memmem(c.answer, c.answer_size, b"\r\n\r\n", 4)
    if c.answer_size >= 5 and memcmp(c.answer, b"HTTP/", 5) != 0:
        return ANSWER_BAD
    if found is NULL:
        data[0] = end
        return ANSWER_MORE
    data[0] += <size_t>(found + 4 - c.answer) - before
    if found - c.answer < 12:
        return ANSWER_BAD
    if memcmp(c.answer + 9, b"101", 3) != 0:
        note(load, UPGRADE_REFUSED, status_of(c.answer + 9), 0)
        return ANSWER_REFUSED
    if memmem(
        c.answer, <size_t>(found - c.answer), load.accepts + c.index * ACCEPT_SIZE, ACCEPT_SIZE
    ) is NULL:
        return ANSWER_BAD
    return ANSWER_GOOD


cdef unsigned long status_of(const char *digits) noexcept nogil:
    cdef unsigned long status = 0
    cdef int i
    for i in range(3):
        if b"0"[0] <= digits[i] <= b"9"[0]:
            status = status * 10 + <unsigned long>(digits[i] - b"0"[0])
    return status


def frames(pieces):
    """For tests: what is found in the pieces, as (kind, bytes); data is put together."""
    cdef Frame frame
    cdef const uint8_t *at
    cdef const uint8_t *end
    cdef const uint8_t *piece
    cdef uint32_t size
    cdef Found found
    frame.open = frame.have = frame.control_size = 0
    whole = []
    kind = ""
    for given in pieces:
        at = <const uint8_t *><const char *>given
        end = at + <size_t>len(given)
        while True:
            found = take_frame(&frame, &at, end, &piece, &size)
            if found == FRAME_MORE:
                break
            if found == FRAME_BROKEN:
                raise ValueError("malformed frame")
            if found != FRAME_DATA:
                kind = "ping" if found == FRAME_PING else "close"
                whole.append((kind, (<char *>frame.control)[:frame.control_size]))
                continue
            text = (<char *>piece)[:size]
            if kind == "data":
                text = whole.pop()[1] + text
            kind = "data"
            whole.append((kind, text))
    return whole
