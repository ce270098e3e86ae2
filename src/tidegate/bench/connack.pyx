"""What a CONNACK of MQTT 5 tells about its connection: the Server Keep Alive (3.2.2.3.14).

Its properties come in any order and may be long, so they are read byte by byte and not kept.
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memset

from tidegate.bench.types cimport Properties

cdef enum Step:
    LENGTH = 0  # of all properties
    NAME
    NUMBER
    TEXT_HIGH
    TEXT_LOW
    TEXT
    UNKNOWN  # a property without a meaning here has no known end

cdef enum:
    SERVER_KEEP_ALIVE = 0x13
    USER_PROPERTY = 0x26


cdef uint8_t number_size(uint8_t name) noexcept nogil:
    """Bytes of a property that is a number, 0 for one that is a text (MQTT 5, 2.2.2.2)."""
    if name == 0x11 or name == 0x27:
        return 4
    if name == SERVER_KEEP_ALIVE or name == 0x21 or name == 0x22:
        return 2
    if name == 0x24 or name == 0x25 or 0x28 <= name <= 0x2A:
        return 1
    return 0


cdef bint is_text(uint8_t name) noexcept nogil:
    return (
        name == 0x12
        or name == 0x15
        or name == 0x16
        or name == 0x1A
        or name == 0x1C
        or name == 0x1F
        or name == USER_PROPERTY
    )


cdef void read_property(Properties *found, uint8_t byte) noexcept nogil:
    """Take the next byte behind the reason code."""
    if found.step == LENGTH:
        if not byte & 0x80:
            found.step = NAME
    elif found.step == NAME:
        begin(found, byte)
    elif found.step == NUMBER:
        if found.name == SERVER_KEEP_ALIVE:
            found.keep_alive = <uint16_t>(found.keep_alive << 8) | byte
        found.left -= 1
        if found.left == 0:
            found.given = found.given or found.name == SERVER_KEEP_ALIVE
            found.step = NAME
    elif found.step == TEXT_HIGH:
        found.left = <uint16_t>byte << 8
        found.step = TEXT_LOW
    elif found.step == TEXT_LOW:
        found.left |= byte
        found.step = TEXT
        end_text(found)
    elif found.step == TEXT:
        found.left -= 1
        end_text(found)


cdef void begin(Properties *found, uint8_t name) noexcept nogil:
    found.name = name
    found.left = number_size(name)
    if found.left:
        found.step = NUMBER
    elif is_text(name):
        found.texts = 2 if name == USER_PROPERTY else 1
        found.step = TEXT_HIGH
    else:
        found.step = UNKNOWN


cdef void end_text(Properties *found) noexcept nogil:
    if found.left:
        return
    found.texts -= 1
    found.step = TEXT_HIGH if found.texts else NAME


def server_keep_alive(data):
    """For tests: what the properties, their length before them, say; None where they do not."""
    cdef Properties found
    memset(&found, 0, sizeof(found))
    for byte in data:
        read_property(&found, byte)
    return found.keep_alive if found.given else None
