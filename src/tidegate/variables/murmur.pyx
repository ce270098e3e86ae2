"""MurmurHash2, 32 bits, as nginx has it: seed 0, little endian on every machine."""

from libc.stdint cimport uint32_t

cdef uint32_t MIX = 0x5BD1E995
cdef int SHIFT = 24


def murmur2(bytes data not None):
    """The hash of `data`, from 0 to 2^32 - 1."""
    cdef const unsigned char *at = data
    cdef Py_ssize_t left = len(data)
    cdef uint32_t total = <uint32_t> left
    cdef uint32_t word
    while left >= 4:
        word = (
            at[0]
            | (<uint32_t> at[1] << 8)
            | (<uint32_t> at[2] << 16)
            | (<uint32_t> at[3] << 24)
        )
        word *= MIX
        word ^= word >> SHIFT
        word *= MIX
        total *= MIX
        total ^= word
        at += 4
        left -= 4
    if left == 3:
        total ^= <uint32_t> at[2] << 16
    if left >= 2:
        total ^= <uint32_t> at[1] << 8
    if left >= 1:
        total ^= at[0]
        total *= MIX
    total ^= total >> 13
    total *= MIX
    return total ^ (total >> 15)
