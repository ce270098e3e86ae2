"""WebSocket on the client's side, plain bytes on the upstream's (RFC 6455, section 5).

In: what a client sent, in frames that may end anywhere. Out: what they hold, unmasked and put
together in place; and our answers to those of its frames that are for us. No socket is touched
here but for the last frame, `say_close`.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from tidegate.engine.linux cimport MSG_NOSIGNAL, send
from tidegate.engine.pending cimport append
from tidegate.engine.tls cimport tls_write
from tidegate.engine.types cimport (
    CLIENT,
    KILLED,
    TIMED_OUT,
    UPSTREAM_CLOSED,
    Frames,
    Session,
)

cdef enum:
    FINAL = 0x80
    RESERVED = 0x70
    MASKED = 0x80
    LENGTH = 0x7F
    LENGTH_16 = 126
    LENGTH_64 = 127
    MASK = 4

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CONTROL = 8
    CLOSE = 8
    PING = 9
    PONG = 10
    MOST_IN_CONTROL = 125

    # Codes of a close (section 7.4).
    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED = 1003
    POLICY = 1008
    TOO_BIG = 1009
    BROKEN = 1011
    LAST_DEFINED = 1014
    FIRST_FREE = 3000
    LAST_FREE = 4999


cdef Frames *frames_of(Session *s) noexcept nogil:
    return s.exchange.frames if s.exchange is not NULL else NULL


cdef bint holds_back(Session *s) noexcept nogil:
    """Whether the client is not read because it does not take our answers to its frames."""
    cdef Frames *f = frames_of(s)
    return f is not NULL and f.stuck and s.ends[CLIENT].pending is not NULL


cdef uint32_t unwrap(Frames *f, char *data, uint32_t size) noexcept nogil:
    """Put what the frames hold to the beginning of `data`; how much that is.

    `f.reply` gets our answers. After a close, its own or ours for a fault, `f.code` is set, and
    what comes behind is not looked at.
    """
    cdef uint32_t at = 0
    cdef uint32_t out = 0
    cdef uint32_t n
    while at < size and f.code == 0:
        if not f.inside:
            f.head[f.have] = <uint8_t>data[at]
            f.have += 1
            at += 1
            if f.have == 2:
                f.head_size = head_size(f)
            if f.have >= 2 and f.have == f.head_size:
                begin_frame(f)
            continue
        n = size - at
        if n > f.left:
            n = <uint32_t>f.left
        if f.opcode >= CONTROL:
            unmask(f, <char *>f.control + f.control_size, data + at, n)
            f.control_size += <uint8_t>n
        else:
            unmask(f, data + out, data + at, n)
            out += n
        at += n
        f.left -= n
        if f.left == 0:
            end_frame(f)
    return out


cdef uint8_t head_size(Frames *f) noexcept nogil:
    cdef uint8_t length = f.head[1] & LENGTH
    return 2 + MASK + (2 if length == LENGTH_16 else 8 if length == LENGTH_64 else 0)


cdef void begin_frame(Frames *f) noexcept nogil:
    """The head is whole: what comes, or what is wrong with it."""
    cdef uint8_t opcode = f.head[0] & 0x0F
    cdef uint64_t length = f.head[1] & LENGTH
    cdef uint8_t i
    cdef uint8_t size = f.head_size
    f.have = 0
    if length >= LENGTH_16:
        length = 0
        for i in range(2, size - MASK):
            length = length << 8 | f.head[i]
        if length < LENGTH_16 or (size == 2 + 8 + MASK and length <= 0xFFFF) or length >> 63:
            fail(f, PROTOCOL_ERROR, b"a length is not as short as it can be")
            return
    if f.head[0] & RESERVED:
        fail(f, PROTOCOL_ERROR, b"a reserved bit is set")
    elif not f.head[1] & MASKED:
        fail(f, PROTOCOL_ERROR, b"a frame is not masked")
    elif opcode >= CONTROL:
        if opcode > PONG:
            fail(f, PROTOCOL_ERROR, b"an opcode is unknown")
        elif length > MOST_IN_CONTROL or not f.head[0] & FINAL:
            fail(f, PROTOCOL_ERROR, b"a control frame is too long, or in pieces")
    elif opcode == TEXT:
        fail(f, UNSUPPORTED, b"a frame is text")
    elif opcode > BINARY:
        fail(f, PROTOCOL_ERROR, b"an opcode is unknown")
    elif (opcode == CONTINUATION) != (f.continues != 0):
        fail(f, PROTOCOL_ERROR, b"a message continues that did not begin, or begins in another")
    elif f.limit and f.message + length > f.limit:
        fail(f, TOO_BIG, b"a message is too long")
    if f.code:
        return
    memcpy(f.mask, f.head + size - MASK, MASK)
    f.phase = 0
    f.opcode = opcode
    f.final = f.head[0] & FINAL
    f.left = length
    f.control_size = 0
    f.inside = True
    if opcode < CONTROL:
        f.message += length
    if length == 0:
        end_frame(f)


cdef void end_frame(Frames *f) noexcept nogil:
    f.inside = False
    if f.opcode == PING:
        reply(f, PONG, <char *>f.control, f.control_size)
    elif f.opcode == CLOSE:
        closed(f)
    elif f.opcode < CONTROL:
        f.continues = not f.final
        if f.final:
            f.message = 0


cdef void closed(Frames *f) noexcept nogil:
    """The client says its end: so do we, in its words."""
    cdef uint16_t code = 0
    if f.control_size == 1:
        fail(f, PROTOCOL_ERROR, b"the code of a close is cut")
        return
    if f.control_size:
        code = <uint16_t>(f.control[0] << 8 | f.control[1])
        if not is_code(code):
            fail(f, PROTOCOL_ERROR, b"the code of a close is not allowed")
            return
    f.code = code if code else NORMAL
    f.said = True
    reply(f, CLOSE, <char *>f.control, 2 if code else 0)


cdef bint is_code(uint16_t code) noexcept nogil:
    """Whether a client may give this code; 1004 to 1006 are never sent."""
    if FIRST_FREE <= code <= LAST_FREE:
        return True
    return NORMAL <= code <= LAST_DEFINED and not UNSUPPORTED < code < 1007


cdef void fail(Frames *f, uint16_t code, const char *why) noexcept nogil:
    """The client broke a rule: it is told which."""
    cdef char words[2]
    f.code = code
    f.fault = why
    f.said = True
    words[0] = <char>(code >> 8)
    words[1] = <char>(code & 0xFF)
    reply(f, CLOSE, words, 2)


cdef void reply(Frames *f, uint8_t opcode, const char *data, uint8_t size) noexcept nogil:
    """Keep a frame of ours for the client; one for which there is no memory is left out."""
    cdef char frame[2 + MOST_IN_CONTROL]
    frame[0] = <char>(FINAL | opcode)
    frame[1] = <char>size
    memcpy(frame + 2, data, size)
    append(&f.reply, frame, 2 + size)


cdef void unmask(Frames *f, char *target, const char *source, uint32_t size) noexcept nogil:
    """Copy, forwards where they overlap, what a mask makes unreadable; that is turned to fit."""
    cdef uint64_t word, key
    cdef uint8_t turned[8]
    cdef uint32_t i = 0
    cdef uint8_t j
    for j in range(8):
        turned[j] = f.mask[(f.phase + j) & 3]
    memcpy(&key, turned, 8)
    while size - i >= 8:
        memcpy(&word, source + i, 8)
        word ^= key
        memcpy(target + i, &word, 8)
        i += 8
    while i < size:
        target[i] = source[i] ^ <char>turned[i & 7]
        i += 1
    f.phase = <uint8_t>((f.phase + size) & 3)


cdef uint32_t put_head(char *room, uint32_t size) noexcept nogil:
    """Write the head of a binary frame at the end of the HEADROOM before its bytes; its length."""
    if size < LENGTH_16:
        room[2] = <char>(FINAL | BINARY)
        room[3] = <char>size
        return 2
    room[0] = <char>(FINAL | BINARY)
    room[1] = LENGTH_16
    room[2] = <char>(size >> 8)
    room[3] = <char>(size & 0xFF)
    return 4


cdef void say_close(Session *s) noexcept nogil:
    """Tell a client that takes words now why its session ends, unless it knows."""
    cdef Frames *f = frames_of(s)
    cdef uint16_t code = GOING_AWAY
    cdef char frame[4]
    if f is NULL or f.said or s.ends[CLIENT].pending is not NULL or s.ends[CLIENT].broken:
        return
    f.said = True
    if s.reason == UPSTREAM_CLOSED:
        code = NORMAL
    elif s.reason == TIMED_OUT:
        code = POLICY
    elif s.reason != KILLED:
        code = BROKEN
    frame[0] = <char>(FINAL | CLOSE)
    frame[1] = 2
    frame[2] = <char>(code >> 8)
    frame[3] = <char>(code & 0xFF)
    if s.ends[CLIENT].ssl is NULL:
        send(s.ends[CLIENT].fd, frame, sizeof(frame), MSG_NOSIGNAL)
    else:
        tls_write(s, CLIENT, frame, sizeof(frame))
