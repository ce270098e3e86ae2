"""Times counted in buckets whose width grows with the time: log-linear, as HdrHistogram's are."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset


cdef extern from * nogil:
    """
    static inline int highest_bit(uint64_t value) { return 63 - __builtin_clzll(value); }
    """
    int highest_bit(uint64_t value)


cdef inline uint32_t bucket_of(int64_t value) noexcept nogil:
    cdef int bit
    if value < CUTS:
        return <uint32_t>value if value > 0 else 0
    bit = highest_bit(<uint64_t>value)
    if bit >= TOP_BITS:
        return BUCKETS - 1
    return <uint32_t>((bit - CUT_BITS + 1) * CUTS + (value >> (bit - CUT_BITS)) - CUTS)


cdef inline int64_t last_of(uint32_t bucket) noexcept nogil:
    """The greatest value that this bucket counts."""
    cdef uint32_t power = bucket // CUTS
    if power == 0:
        return bucket
    return ((<int64_t>(CUTS + bucket % CUTS + 1)) << (power - 1)) - 1


cdef void clear(Buckets *buckets) noexcept nogil:
    memset(buckets, 0, sizeof(Buckets))


cdef void record(Buckets *buckets, int64_t value) noexcept nogil:
    if value < 0:
        value = 0
    if buckets.total == 0 or value < buckets.least:
        buckets.least = value
    if value > buckets.most:
        buckets.most = value
    buckets.total += 1
    buckets.counts[bucket_of(value)] += 1


cdef class Histogram:
    def __cinit__(self):
        clear(&self.buckets)

    def record(self, int64_t value):
        """Count one time of `value` nanoseconds."""
        record(&self.buckets, value)

    def clear(self):
        """Forget all times."""
        clear(&self.buckets)

    def add(self, Histogram other):
        """Count the other's times too."""
        cdef uint32_t i
        if other.buckets.total == 0:
            return
        if self.buckets.total == 0 or other.buckets.least < self.buckets.least:
            self.buckets.least = other.buckets.least
        if other.buckets.most > self.buckets.most:
            self.buckets.most = other.buckets.most
        self.buckets.total += other.buckets.total
        for i in range(<uint32_t>BUCKETS):
            self.buckets.counts[i] += other.buckets.counts[i]

    def since(self, Histogram earlier not None):
        """What was counted since `earlier`, a copy of this; its ends are those of the whole."""
        cdef Histogram found = Histogram()
        cdef uint32_t i
        found.buckets.total = self.buckets.total - earlier.buckets.total
        found.buckets.least = self.buckets.least
        found.buckets.most = self.buckets.most
        for i in range(<uint32_t>BUCKETS):
            found.buckets.counts[i] = self.buckets.counts[i] - earlier.buckets.counts[i]
        return found

    @property
    def total(self):
        """How many times were counted."""
        return self.buckets.total

    @property
    def least(self):
        """The shortest, in nanoseconds; 0 where there is none."""
        return self.buckets.least

    @property
    def most(self):
        """The longest, in nanoseconds; 0 where there is none."""
        return self.buckets.most

    def percentile(self, double percent):
        """The time that `percent` of all do not exceed, in nanoseconds, 1/64 too long at most."""
        cdef uint64_t seen = 0
        cdef uint64_t rank
        cdef uint32_t i
        if not 0 <= percent <= 100:
            raise ValueError(f"{percent} is no percentage")
        if self.buckets.total == 0:
            return 0
        exact = percent * self.buckets.total / 100
        rank = <uint64_t>exact
        if rank < exact or rank == 0:
            rank += 1
        for i in range(<uint32_t>BUCKETS - 1):
            seen += self.buckets.counts[i]
            if seen >= rank:
                return min(max(last_of(i), self.buckets.least), self.buckets.most)
        return self.buckets.most
