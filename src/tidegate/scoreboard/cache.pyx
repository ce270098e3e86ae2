"""Bytes that all workers keep by key for a while, the oldest of which make room; see cache.pyi.

    head | buckets | ring of items

Items lie one behind the other in a ring, and are counted by positions that only grow: what is
between `tail` and `head` is there. A bucket holds the position of its newest item, an item that of
the one before it, so a chain runs from new to old, and ends at the first position that is no more.
Nobody has to take an item out: it is overwritten in its turn.

Whoever changes something holds the lock, and each change is one store of a word: an item is
complete before `head` takes it in, and it is in before its bucket leads to it. So a process may be
killed at any instruction, and the worst is that its item is not found.
"""

cimport cython
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy
from posix.mman cimport munmap

from tidegate.scoreboard.cells cimport hash_bytes
from tidegate.scoreboard.lock cimport Lock, take_lock
from tidegate.scoreboard.memory cimport Memory
from tidegate.scoreboard.mutex cimport (
    HELD,
    INHERITED,
    in_order,
    let_go,
    make_mutex,
    mended,
    seconds as this_second,
)

import os

cdef enum:
    VERSION = 1
    # Items begin at multiples of it, so one always fits where a lap of the ring ends.
    STEP = 32
    # One bucket for so many bytes: a session of TLS takes about as many.
    BYTES_OF_A_BUCKET = 256
    # Not to find something costs a full handshake, which is less than to wait for long.
    PATIENCE_MS = 1
    LONGEST_KEY = 255
    LONGEST_DATA = 65535

LONGEST = LONGEST_KEY

cdef uint64_t SMALLEST_SIZE = 4096
cdef uint64_t LARGEST = 1 << 40
cdef uint64_t MAGIC = 0x6863616365646974ULL  # "tidecach" as it stands in memory

cdef struct Item:
    uint64_t next  # the one before it in its bucket
    uint32_t size  # in all, a multiple of STEP
    uint32_t hash
    uint32_t until  # second of the monotonic clock; 0 is forgotten, or fills up a lap
    uint16_t key_size
    uint16_t data_size


cdef inline uint32_t buckets_for(uint64_t size) noexcept nogil:
    cdef uint32_t buckets = 1
    while <uint64_t> buckets * 2 * BYTES_OF_A_BUCKET <= size and buckets < 1 << 28:
        buckets *= 2
    return buckets


cdef inline uint64_t items_offset(uint32_t buckets) noexcept nogil:
    cdef uint64_t end = sizeof(Head) + <uint64_t> buckets * sizeof(uint64_t)
    return (end + STEP - 1) // STEP * STEP


cdef Ring *ring_of(Memory memory) except NULL:
    """The ring in a memory, whose mapping is the ring's from now on."""
    cdef Ring *ring = <Ring *> calloc(1, sizeof(Ring))
    cdef uint32_t buckets = buckets_for(memory.size)
    if ring is NULL:
        raise MemoryError
    ring.refs = 1
    ring.base, ring.size = memory.base, memory.size
    memory.base = NULL
    ring.head = <Head *> ring.base
    ring.buckets = <uint64_t *> (ring.base + sizeof(Head))
    ring.items = ring.base + items_offset(buckets)
    return ring


cdef void drop_ring(Ring *ring) noexcept nogil:
    if ring is NULL:
        return
    ring.refs -= 1
    if ring.refs == 0:
        munmap(ring.base, ring.size)
        free(ring)


# --- under the lock ---


cdef inline bint enter(Ring *ring) noexcept nogil:
    cdef int outcome = take_lock(&ring.head.lock, PATIENCE_MS)
    if outcome == INHERITED:
        # Nothing is to be mended but the mutex.
        ring.head.deaths += 1
        mended(&ring.head.lock.mutex)
    return outcome == HELD or outcome == INHERITED


cdef inline void leave(Ring *ring) noexcept nogil:
    let_go(&ring.head.lock.mutex)


cdef inline Item *item_at(Ring *ring, uint64_t position) noexcept nogil:
    return <Item *> (ring.items + position % ring.head.room)


cdef inline bint is_there(Ring *ring, uint64_t position) noexcept nogil:
    return ring.head.tail <= position < ring.head.head


cdef inline uint64_t *bucket_of(Ring *ring, uint32_t hash) noexcept nogil:
    return &ring.buckets[hash & (ring.head.buckets - 1)]


cdef inline bint is_of(
    const Item *item, uint32_t hash, const unsigned char *key, uint32_t size
) noexcept nogil:
    return (
        item.hash == hash
        and item.key_size == size
        and memcmp(<const char *> item + sizeof(Item), key, size) == 0
    )


cdef Item *find(Ring *ring, const unsigned char *key, uint32_t size) noexcept nogil:
    """The newest item of a key, also one that has had its time; NULL for none."""
    cdef uint32_t hash = hash_bytes(ring.head.seed, key, size)
    cdef uint64_t position = bucket_of(ring, hash)[0]
    cdef Item *item
    while is_there(ring, position):
        item = item_at(ring, position)
        if is_of(item, hash, key, size):
            return item
        if item.next >= position:
            break
        position = item.next
    return NULL


cdef void make_room(Ring *ring, uint64_t size) noexcept nogil:
    """Let the oldest go until `size` bytes are free behind the newest."""
    cdef Head *head = ring.head
    while head.head + size - head.tail > head.room:
        head.tail += item_at(ring, head.tail).size
    in_order()


cdef void append(
    Ring *ring,
    const unsigned char *key,
    uint32_t key_size,
    const unsigned char *data,
    uint32_t data_size,
    uint32_t until,
) noexcept nogil:
    cdef Head *head = ring.head
    cdef uint64_t size = (sizeof(Item) + key_size + data_size + STEP - 1) // STEP * STEP
    cdef uint64_t rest = head.room - head.head % head.room
    cdef uint64_t position
    cdef uint64_t *bucket
    cdef Item *item
    if rest < size:
        # An item is in one piece: what is left of the lap stays empty.
        make_room(ring, rest + size)
        item = item_at(ring, head.head)
        item.size = <uint32_t> rest
        item.until = item.key_size = 0
        in_order()
        head.head += rest
    else:
        make_room(ring, size)
    position = head.head
    item = item_at(ring, position)
    item.hash = hash_bytes(head.seed, key, key_size)
    bucket = bucket_of(ring, item.hash)
    item.next = bucket[0]
    item.size = <uint32_t> size
    item.until = until
    item.key_size = <uint16_t> key_size
    item.data_size = <uint16_t> data_size
    memcpy(<char *> item + sizeof(Item), key, key_size)
    memcpy(<char *> item + sizeof(Item) + key_size, data, data_size)
    in_order()
    head.head = position + size
    in_order()
    bucket[0] = position


# --- what may be asked ---


cdef bint keep(
    Ring *ring,
    const unsigned char *key,
    uint32_t key_size,
    const unsigned char *data,
    uint32_t data_size,
    uint32_t seconds_kept,
) noexcept nogil:
    """Keep bytes under a key; False where they are too many, or the lock was not to be had."""
    if not 1 <= key_size <= LONGEST_KEY or data_size > LONGEST_DATA:
        return False
    # What fills up a lap is smaller than the item behind it: together they have room.
    if (sizeof(Item) + key_size + data_size + STEP) * 2 > ring.head.room:
        return False
    if not enter(ring):
        return False
    append(ring, key, key_size, data, data_size, <uint32_t> this_second() + seconds_kept)
    leave(ring)
    return True


cdef uint32_t look_up(
    Ring *ring,
    const unsigned char *key,
    uint32_t key_size,
    unsigned char *out,
    uint32_t room,
) noexcept nogil:
    """Copy what is kept under a key; its size, 0 for nothing."""
    cdef uint32_t size = 0
    cdef Item *item
    if not enter(ring):
        return 0
    item = find(ring, key, key_size)
    if item is not NULL and item.until > <uint32_t> this_second() and item.data_size <= room:
        size = item.data_size
        memcpy(out, <char *> item + sizeof(Item) + key_size, size)
    leave(ring)
    return size


cdef void forget(Ring *ring, const unsigned char *key, uint32_t key_size) noexcept nogil:
    cdef Item *item
    if not enter(ring):
        return
    item = find(ring, key, key_size)
    if item is not NULL:
        item.until = 0
    leave(ring)


@cython.final
cdef class Cache(Memory):
    """One memfd of the size that the configuration says."""

    def __init__(self):
        raise TypeError("a cache comes from Cache.create or Cache.attach")

    def __dealloc__(self):
        drop_ring(self.ring)

    @staticmethod
    def create(size):
        if not SMALLEST_SIZE <= size <= LARGEST:
            raise ValueError(f"no cache of {size} bytes")
        cdef Cache cache = Cache.__new__(Cache)
        cache.make("cache", size)
        cache.inode = os.fstat(cache.fd).st_ino
        cache.ring = ring_of(cache)
        cdef Head *head = cache.ring.head
        head.version = VERSION
        head.item_size = sizeof(Item)
        head.lock_size = sizeof(Lock)
        head.buckets = buckets_for(size)
        head.size = size
        head.room = (size - items_offset(head.buckets)) // STEP * STEP
        head.seed = int.from_bytes(os.urandom(8), "little")
        # Position 0, which is in an empty bucket, is never there.
        head.tail = head.head = head.room
        if make_mutex(&head.lock.mutex):
            raise OSError("this system has no robust mutex between processes")
        head.magic = MAGIC
        return cache

    @staticmethod
    def attach(int fd):
        cdef Cache cache = Cache.__new__(Cache)
        cache.join(fd, "cache", SMALLEST_SIZE, LARGEST)
        cache.inode = os.fstat(fd).st_ino
        cache.ring = ring_of(cache)
        cdef Head *head = cache.ring.head
        if head.magic != MAGIC:
            raise ValueError(f"descriptor {fd} is no cache: it begins with {head.magic:#x}")
        found = head.version, head.item_size, head.lock_size, head.size, head.buckets
        ours = VERSION, sizeof(Item), sizeof(Lock), cache.size, buckets_for(cache.size)
        if found != ours:
            raise ValueError(f"the cache is of another version: {found}, expected {ours}")
        return cache

    def is_behind(self, int fd):
        return os.fstat(fd).st_ino == self.inode

    def keep(self, bytes key not None, bytes data not None, *, uint32_t seconds):
        return keep(
            self.ring, key, <uint32_t> len(key), data, <uint32_t> len(data), seconds
        )

    def find(self, bytes key not None):
        cdef unsigned char out[LONGEST_DATA]
        cdef uint32_t size = look_up(self.ring, key, <uint32_t> len(key), out, LONGEST_DATA)
        return out[:size] if size else None

    def forget(self, bytes key not None):
        forget(self.ring, key, <uint32_t> len(key))

    @property
    def items(self):
        """How many are in the ring, those that have had their time included."""
        cdef uint64_t position
        cdef int count = 0
        cdef Item *item
        if not enter(self.ring):
            raise TimeoutError("the lock of the cache was not to be had")
        position = self.ring.head.tail
        while position < self.ring.head.head:
            item = item_at(self.ring, position)
            count += item.key_size > 0
            position += item.size
        leave(self.ring)
        return count

    @property
    def deaths(self):
        return self.ring.head.deaths

    def _mutex_address(self):
        return <size_t> &self.ring.head.lock.mutex

    def _lap_left(self):
        return self.ring.head.room - self.ring.head.head % self.ring.head.room
