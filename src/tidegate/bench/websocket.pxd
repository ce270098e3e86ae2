from libc.stdint cimport uint8_t, uint32_t

from tidegate.bench.types cimport Client, Frame, Load

cdef enum Found:
    FRAME_MORE = 0
    FRAME_DATA  # a piece of it
    FRAME_PING  # its payload is in `control`
    FRAME_CLOSE
    FRAME_BROKEN

cdef enum Answer:
    ANSWER_MORE = 0
    ANSWER_GOOD
    ANSWER_BAD  # no HTTP, or not to our request
    ANSWER_REFUSED

cdef enum:
    # What stands before the payload of a small frame of ours: two bytes and the mask.
    SMALL_HEAD = 6
    # The longest payload of such a frame.
    SMALL = 125

cdef uint32_t small_frame(
    Load *load, uint8_t opcode, const char *data, uint32_t size, char *out
) noexcept nogil
cdef Found take_frame(
    Frame *frame,
    const uint8_t **data,
    const uint8_t *end,
    const uint8_t **piece,
    uint32_t *size,
) noexcept nogil
cdef Answer take_answer(
    Load *load, Client *c, const uint8_t **data, const uint8_t *end
) noexcept nogil
