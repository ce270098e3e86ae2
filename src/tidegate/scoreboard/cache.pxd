"""A cache's C side: what TLS calls in the midst of a handshake."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from tidegate.scoreboard.lock cimport Lock
from tidegate.scoreboard.memory cimport Memory

cdef struct Head:
    uint64_t magic
    uint32_t version
    uint32_t item_size
    uint32_t lock_size
    uint32_t buckets  # a power of two
    uint64_t size
    uint64_t room  # bytes of the ring
    uint64_t seed  # unknown outside, so that nobody can choose keys for one bucket
    Lock lock
    uint32_t deaths  # how often the lock was inherited from a dead process
    uint32_t spare
    uint64_t tail  # where the oldest item begins
    uint64_t head  # where the next one will begin; both only grow

cdef struct Ring:
    # A mapped cache in one process; shared, counted.
    int64_t refs
    char *base
    size_t size
    Head *head
    uint64_t *buckets
    char *items

cdef bint keep(
    Ring *ring,
    const unsigned char *key,
    uint32_t key_size,
    const unsigned char *data,
    uint32_t data_size,
    uint32_t seconds,
) noexcept nogil
cdef uint32_t look_up(
    Ring *ring,
    const unsigned char *key,
    uint32_t key_size,
    unsigned char *out,
    uint32_t room,
) noexcept nogil
cdef void forget(Ring *ring, const unsigned char *key, uint32_t key_size) noexcept nogil
cdef void drop_ring(Ring *ring) noexcept nogil


cdef class Cache(Memory):
    cdef Ring *ring
    cdef unsigned long inode
