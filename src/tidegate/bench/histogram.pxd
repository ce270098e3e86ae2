# A histogram of times in fixed memory, recorded without Python.

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    # Each power of two is cut into 64, so a time is known to 1/64 of itself, about 1.6 %.
    CUT_BITS = 6
    CUTS = 64
    # Times above 2^42 ns (73 minutes) are counted as that: no time-out here is longer.
    TOP_BITS = 42
    BUCKETS = (TOP_BITS - CUT_BITS + 1) * CUTS

cdef struct Buckets:
    uint64_t total
    uint64_t counts[BUCKETS]
    int64_t least
    int64_t most

cdef void clear(Buckets *buckets) noexcept nogil
cdef void record(Buckets *buckets, int64_t value) noexcept nogil


cdef class Histogram:
    cdef Buckets buckets
