"""MQTT packets out of a stream of bytes, whole or in pieces: as much of them as a client needs."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from tidegate.bench.connack cimport read_property
from tidegate.bench.types cimport Input

cdef enum Stage:
    FIRST = 0
    LENGTH
    BODY

cdef enum:
    CONNACK_FIRST = 0x20
    PUBLISH_TYPE = 0x30
    TYPE_MASK = 0xF0
    QOS_MASK = 0x06
    # Remaining Length has four digits at most (MQTT 5, 1.5.5).
    MOST_DIGITS = 4


cdef Split split(Input *packet, const uint8_t **data, const uint8_t *end) noexcept nogil:
    """Take bytes until a packet is whole; `data` moves behind what was taken."""
    cdef uint8_t digit
    while data[0] < end:
        if packet.stage == FIRST:
            packet.first = data[0][0]
            data[0] += 1
            packet.stage = LENGTH
            packet.digits = 0
            packet.size = 0
            packet.packet_id = 0
            packet.last = 0
            memset(&packet.properties, 0, sizeof(packet.properties))
            packet.head[0] = packet.head[1] = packet.head[2] = packet.head[3] = 0
        elif packet.stage == LENGTH:
            digit = data[0][0]
            data[0] += 1
            packet.size |= <uint32_t>(digit & 0x7F) << (7 * packet.digits)
            packet.digits += 1
            if digit & 0x80:
                if packet.digits == MOST_DIGITS:
                    return BROKEN
                continue
            packet.left = packet.size
            packet.stage = BODY
            if packet.size == 0:
                packet.stage = FIRST
                return WHOLE
        elif take_body(packet, data, end):
            packet.stage = FIRST
            return WHOLE
    return MORE


cdef bint take_body(Input *packet, const uint8_t **data, const uint8_t *end) noexcept nogil:
    """Take what is there of the body; True when that was its end."""
    cdef const uint8_t *start = data[0]
    cdef uint32_t begin = packet.size - packet.left
    cdef uint32_t size = packet.left
    cdef uint32_t i, at
    if <size_t>(end - start) < size:
        size = <uint32_t>(end - start)
    for i in range(begin, min(begin + size, <uint32_t>4)):
        packet.head[i] = start[i - begin]
    if packet.first & TYPE_MASK == PUBLISH_TYPE and packet.first & QOS_MASK:
        # The topic's length is in the head by the time its end is reached: it is at least one.
        at = 2 + ((<uint32_t>packet.head[0] << 8) | packet.head[1])
        if begin <= at < begin + size:
            packet.packet_id = <uint16_t>(start[at - begin] << 8) | (packet.packet_id & 0xFF)
        if begin <= at + 1 < begin + size:
            packet.packet_id = (packet.packet_id & 0xFF00) | start[at + 1 - begin]
    if packet.first == CONNACK_FIRST:
        # Flags and code come before the properties, which MQTT 3 does not have.
        for i in range(max(begin, <uint32_t>2), begin + size):
            read_property(&packet.properties, start[i - begin])
    packet.left -= size
    data[0] += size
    if packet.left:
        return False
    packet.last = start[size - 1]
    return True


def packets(pieces):
    """For tests: (first byte, size, head, last byte, packet identifier) of each whole packet."""
    cdef Input packet
    cdef const uint8_t *at
    cdef const uint8_t *end
    cdef Split found
    packet.stage = FIRST
    whole = []
    for piece in pieces:
        at = <const uint8_t *><const char *>piece
        end = at + <size_t>len(piece)
        while True:
            found = split(&packet, &at, end)
            if found == MORE:
                break
            if found == BROKEN:
                raise ValueError("malformed length")
            head = (<char *>packet.head)[:min(packet.size, 4)]
            whole.append((packet.first, packet.size, head, packet.last, packet.packet_id))
    return whole
