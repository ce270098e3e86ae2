"""Which key belongs to which node, for all workers as one; see learned.pyi.

An entry is one cell of `cells.pxd`: the key, and as its value the node, the time of its last use
and its places in the order of these times. The oldest is at hand where one has to make room.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcpy, memset

from tidegate.scoreboard.cells cimport (
    Cell,
    Head,
    Table,
    add,
    begin_table,
    buckets_for,
    commit,
    enter,
    find,
    hash_of,
    key_size,
    key_words,
    leave,
    place_table,
    plan,
    remove,
    room_for,
    shape_of,
    value_at,
)
from tidegate.scoreboard.lock cimport Lock
from tidegate.scoreboard.memory cimport Memory
from tidegate.scoreboard.mutex cimport seconds as this_second
from tidegate.scoreboard.order cimport move_first, older_of, put_first, unlink

import os
from hashlib import blake2b

cdef enum:
    VERSION = 1
    # As that of zones. Who does not get the lock goes to another node than before.
    PATIENCE_MS = 10
    # For those that look through all of it.
    LAST_PATIENCE_MS = 1000
    # Cells looked at between two moments in which workers may have the lock.
    SWEEP = 512
    # Entries that have had their time go with each that is learned: more go than come.
    CLEARED = 2
    # Of the twelve words of a cell the value has five.
    VALUES = 5
    ROOM_FOR_KEY = 28
    # A hash has all of that room, so no key is taken for one.
    LONGEST_KEY = ROOM_FOR_KEY - 1

# What a value is made of.
cdef enum:
    NODE_LOW
    NODE_HIGH
    TIME
    OLDER
    NEWER

cdef struct Record:
    uint64_t node
    uint32_t age
    uint32_t size
    unsigned char key[ROOM_FOR_KEY]
    uint32_t spare

UNKNOWN = 0
NOT_ASKED = -1
LONGEST = LONGEST_KEY
SMALLEST = 4096
LARGEST = 1 << 30  # sixteen million entries: a file of 770 MB
RECORD = sizeof(Record)

cdef uint64_t MAGIC = 0x6e72616c65646974ULL  # "tidelarn" as it stands in memory


def stored(bytes key not None):
    if not key:
        raise ValueError("a key of no bytes")
    if len(key) <= LONGEST_KEY:
        return key
    return blake2b(key, digest_size=ROOM_FOR_KEY).digest()


# --- under the lock ---


cdef inline uint64_t node_of(Table *table, uint32_t entry) noexcept nogil:
    cdef uint64_t high = value_at(table, entry, NODE_HIGH)[0]
    return high << 32 | value_at(table, entry, NODE_LOW)[0]


cdef inline uint32_t age_of(Table *table, uint32_t entry) noexcept nogil:
    # A time may lie before the clock's beginning: that of an entry out of a file.
    return <uint32_t> this_second() - value_at(table, entry, TIME)[0]


cdef inline void take_out(Table *table, uint32_t entry) noexcept nogil:
    unlink(table, entry)
    remove(table, entry)
    commit(table)
    table.head.acts += 1


cdef inline void begin_anew(Table *table, uint32_t entry, uint32_t at) noexcept nogil:
    plan(table, value_at(table, entry, TIME), at)
    move_first(table, entry)
    commit(table)
    table.head.acts += 1


cdef inline void clear_old(Table *table, uint64_t timeout, int most) noexcept nogil:
    cdef uint32_t entry = table.head.oldest
    while entry and most and age_of(table, entry) >= timeout:
        take_out(table, entry)
        entry = table.head.oldest
        most -= 1


cdef int older_first(const void *one, const void *other) noexcept nogil:
    cdef uint32_t first = (<const Record *> one).age, second = (<const Record *> other).age
    return (first < second) - (first > second)


@cython.final
cdef class Learned(Memory):
    """One memfd of the size that the configuration says."""

    def __init__(self):
        raise TypeError("a table comes from Learned.create or Learned.attach")

    @staticmethod
    def create(size):
        if not SMALLEST <= size <= LARGEST:
            raise ValueError(f"no table of {size} bytes")
        cdef Learned table = Learned.__new__(Learned)
        table.make("table", size)
        table.inode = os.fstat(table.fd).st_ino
        seed = int.from_bytes(os.urandom(8), "little")
        if not begin_table(&table.table, table.base, table.size, seed, VERSION):
            raise OSError("this system has no robust mutex between processes")
        table.table.head.magic = MAGIC
        return table

    @staticmethod
    def attach(int fd):
        cdef Learned table = Learned.__new__(Learned)
        table.join(fd, "table", SMALLEST, LARGEST)
        table.inode = os.fstat(fd).st_ino
        place_table(&table.table, table.base, buckets_for(table.size))
        cdef Head *head = table.table.head
        if head.magic != MAGIC:
            raise ValueError(f"descriptor {fd} is no table: it begins with {head.magic:#x}")
        found = head.version, head.cell_size, head.lock_size, head.size, head.buckets
        ours = VERSION, sizeof(Cell), sizeof(Lock), table.size, buckets_for(table.size)
        if found != ours:
            raise ValueError(f"the table is of another version: {found}, expected {ours}")
        return table

    def is_behind(self, int fd):
        return os.fstat(fd).st_ino == self.inode

    cdef uint32_t look(self, const unsigned char *key, uint32_t size) noexcept nogil:
        return find(&self.table, key, size, hash_of(&self.table, key, size))

    def find(self, bytes key not None, uint32_t timeout):
        cdef uint64_t node = 0
        cdef uint32_t entry
        key = stored(key)
        if not enter(&self.table, PATIENCE_MS):
            return NOT_ASKED
        entry = self.look(key, <uint32_t> len(key))
        if entry and age_of(&self.table, entry) < timeout:
            node = node_of(&self.table, entry)
        leave(&self.table)
        return node

    def learn(self, bytes key not None, uint64_t node, *, uint32_t timeout, bint refresh=True):
        cdef Table *table = &self.table
        cdef uint32_t entry, size
        key = stored(key)
        size = <uint32_t> len(key)
        if node == 0:
            raise ValueError("nodes count from 1")
        if not enter(table, PATIENCE_MS):
            return False
        clear_old(table, timeout, CLEARED)
        entry = self.look(key, size)
        if not entry or node_of(table, entry) != node or age_of(table, entry) >= timeout:
            self.put(key, size, node, <uint32_t> this_second())
        elif refresh:
            begin_anew(table, entry, <uint32_t> this_second())
        leave(table)
        return True

    cdef void put(
        self, const unsigned char *key, uint32_t size, uint64_t node, uint32_t at
    ) noexcept nogil:
        """Have an entry that says this, as the newest one; under the lock."""
        cdef Table *table = &self.table
        cdef uint32_t hash = hash_of(table, key, size)
        cdef uint32_t entry = find(table, key, size, hash)
        cdef uint32_t *words
        if entry:
            plan(table, value_at(table, entry, NODE_LOW), <uint32_t> node)
            plan(table, value_at(table, entry, NODE_HIGH), <uint32_t> (node >> 32))
            begin_anew(table, entry, at)
            return
        if not room_for(table, 1):
            table.head.dropped += 1
            take_out(table, table.head.oldest)
        entry = add(table, key, size, hash, <uint32_t> node)
        # Nobody reads these before the shape says that they are there.
        words = &table.cells[entry].words[key_words(size)]
        words[NODE_HIGH] = <uint32_t> (node >> 32)
        words[TIME] = at
        words[OLDER] = table.head.newest
        words[NEWER] = 0
        plan(table, &table.cells[entry].shape, shape_of(size, VALUES))
        put_first(table, entry)
        commit(table)
        table.head.acts += 1

    def touch(
        self, bytes key not None, uint64_t node, *, bint again=False, bint as_stored=False
    ):
        cdef Table *table = &self.table
        cdef uint32_t entry, size
        if not as_stored:
            key = stored(key)
        size = <uint32_t> len(key)
        if node == 0:
            raise ValueError("nodes count from 1")
        if not 1 <= size <= ROOM_FOR_KEY:
            raise ValueError(f"no stored key has {size} bytes")
        if not enter(table, PATIENCE_MS):
            return False
        entry = self.look(key, size)
        if not entry and again:
            self.put(key, size, node, <uint32_t> this_second())
        elif entry and node_of(table, entry) == node:
            begin_anew(table, entry, <uint32_t> this_second())
        leave(table)
        return True

    def sweep(self, uint32_t timeout):
        with nogil:
            sweep_all(&self.table, timeout)

    def part(self, uint32_t first):
        cdef Record records[SWEEP]
        cdef uint32_t last = first
        cdef int count
        if first < 1:
            raise ValueError("entries count from 1")
        with nogil:
            count = note_some(&self.table, records, &last)
        if count < 0:
            raise TimeoutError("the lock of the table was not to be had")
        return (<char *> records)[: count * sizeof(Record)], last

    def fill(self, bytes records not None, *, uint64_t elapsed, uint32_t timeout):
        cdef size_t size = len(records), count = size // sizeof(Record)
        cdef const char *data = records
        cdef Record *sorted
        cdef int filled = -1
        if size % sizeof(Record):
            raise ValueError(f"{size} bytes are no records of {sizeof(Record)}")
        if not sound(<const Record *> data, count):
            raise ValueError("there is a record that nobody can have written")
        sorted = <Record *> malloc(size + 1)
        if sorted is NULL:
            raise MemoryError
        # Of a large table this takes a minute.
        with nogil:
            memcpy(sorted, data, size)
            qsort(sorted, count, sizeof(Record), older_first)
            if enter(&self.table, LAST_PATIENCE_MS):
                filled = put_all(self, sorted, count, elapsed, timeout)
                leave(&self.table)
            free(sorted)
        if filled < 0:
            raise TimeoutError("the lock of the table was not to be had")
        return min(filled, self.cells)

    @property
    def entries(self):
        return self.table.head.entries

    @property
    def cells(self):
        return self.table.head.cells

    @property
    def dropped(self):
        return self.table.head.dropped

    @property
    def changes(self):
        return self.table.head.acts

    @property
    def deaths(self):
        return self.table.head.deaths

    def _mutex_address(self):
        return <size_t> &self.table.head.lock.mutex

    def order(self):
        cdef uint32_t entry = self.table.head.newest
        cdef Cell *cell
        keys = []
        while entry:
            cell = &self.table.cells[entry]
            keys.append((<char *> cell.words)[: key_size(cell)])
            entry = older_of(&self.table, entry)[0]
        return keys


cdef void sweep_all(Table *table, uint32_t timeout) noexcept nogil:
    cdef uint32_t before
    while enter(table, LAST_PATIENCE_MS):
        before = table.head.entries
        clear_old(table, timeout, SWEEP)
        before -= table.head.entries
        leave(table)
        if before < SWEEP:
            return


cdef int note_some(Table *table, Record *records, uint32_t *place) noexcept nogil:
    """Note entries from a place on, which becomes where to go on; their number, -1 unlocked."""
    cdef uint32_t entry, fresh, last
    cdef int count = 0
    if not enter(table, LAST_PATIENCE_MS):
        return -1
    fresh = min(table.head.fresh, table.head.cells)
    last = min(fresh + 1, place[0] + SWEEP)
    for entry in range(place[0], last):
        if table.cells[entry].shape:
            note(table, entry, &records[count])
            count += 1
    leave(table)
    place[0] = 0 if last > fresh else last
    return count


cdef void note(Table *table, uint32_t entry, Record *record) noexcept nogil:
    # A worker that a client has taken over may write what it likes.
    cdef uint32_t size = min(key_size(&table.cells[entry]), <uint32_t> ROOM_FOR_KEY)
    record.node = node_of(table, entry)
    record.age = age_of(table, entry)
    record.size = size
    memset(record.key, 0, sizeof(record.key))
    record.spare = 0
    memcpy(record.key, table.cells[entry].words, size)


cdef bint sound(const Record *records, size_t count) noexcept nogil:
    cdef size_t index
    for index in range(count):
        if records[index].node == 0 or not 1 <= records[index].size <= ROOM_FOR_KEY:
            return False
    return True


cdef int put_all(
    Learned table, const Record *records, size_t count, uint64_t elapsed, uint32_t timeout
) noexcept nogil:
    """Put records, the oldest first; under the lock, which nobody else can want yet."""
    cdef uint32_t now = <uint32_t> this_second()
    cdef uint64_t age
    cdef size_t index
    cdef int filled = 0
    for index in range(count):
        age = records[index].age + elapsed
        if age < timeout:
            table.put(
                records[index].key, records[index].size, records[index].node, now - <uint32_t> age
            )
            filled += 1
    return filled
