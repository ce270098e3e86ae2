"""Connections counted by key, by all workers as one; see zone.pyi.

The value of an entry is a word for each worker that has, or had, connections of that key: its
number and how many. A worker is the only one to raise its word, and an entry without connections
goes, so what a session holds of it, the number of the entry, stays good for as long as it is held.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from tidegate.scoreboard.cells cimport (
    LONGEST_KEY,
    Cell,
    Head,
    Table,
    add,
    begin_table,
    buckets_for,
    commit,
    enter,
    find,
    grow,
    hash_of,
    leave,
    place_table,
    plan,
    remove,
    value_at,
    values_of,
)
from tidegate.scoreboard.lock cimport Lock
from tidegate.scoreboard.memory cimport Memory

import os

# What `take` gives in place of an entry.
AT_LIMIT = -1
NO_ROOM = -2
NOT_ASKED = -3

cdef enum:
    VERSION = 1
    # The lock is held for well under a microsecond; 10 ms means that its holder does not run.
    PATIENCE_MS = 10
    # The master cannot come back later: the dead worker's number goes to another.
    LAST_PATIENCE_MS = 1000
    # Cells looked at between two moments in which workers may have the lock.
    SWEEP = 512
    COUNT_BITS = 16
    MOST = (1 << COUNT_BITS) - 1

LONGEST = LONGEST_KEY
MOST_COUNTED = MOST

cdef uint64_t SMALLEST_SIZE = 4096
cdef uint64_t LARGEST = 8 << 30  # places in the memory are counted in 32 bits, by words
cdef uint64_t MAGIC = 0x656e6f7a656469ULL  # "idezone" as it stands in memory


@cython.final
cdef class Zone(Memory):
    """One memfd of the size that the configuration says."""

    def __cinit__(self):
        self.worker = -1

    def __init__(self):
        raise TypeError("a zone comes from Zone.create or Zone.attach")

    @staticmethod
    def create(size):
        if not SMALLEST_SIZE <= size <= LARGEST:
            raise ValueError(f"no zone of {size} bytes")
        cdef Zone zone = Zone.__new__(Zone)
        zone.make("zone", size)
        zone.inode = os.fstat(zone.fd).st_ino
        seed = int.from_bytes(os.urandom(8), "little")
        if not begin_table(&zone.table, zone.base, zone.size, seed, VERSION):
            raise OSError("this system has no robust mutex between processes")
        zone.table.head.magic = MAGIC
        return zone

    @staticmethod
    def attach(int fd, *, int worker):
        if not 0 <= worker <= MOST:
            raise ValueError(f"no worker {worker}")
        cdef Zone zone = Zone.__new__(Zone)
        zone.join(fd, "zone", SMALLEST_SIZE, LARGEST)
        place_table(&zone.table, zone.base, buckets_for(zone.size))
        cdef Head *head = zone.table.head
        if head.magic != MAGIC:
            raise ValueError(f"descriptor {fd} is no zone: it begins with {head.magic:#x}")
        found = head.version, head.cell_size, head.lock_size, head.size, head.buckets
        ours = VERSION, sizeof(Cell), sizeof(Lock), zone.size, buckets_for(zone.size)
        if found != ours:
            raise ValueError(f"the zone is of another version: {found}, expected {ours}")
        zone.worker = worker
        zone.inode = os.fstat(fd).st_ino
        return zone

    def is_behind(self, int fd):
        return os.fstat(fd).st_ino == self.inode

    def take(self, bytes key not None, int most):
        cdef uint32_t size = <uint32_t> len(key)
        if not 1 <= len(key) <= LONGEST_KEY:
            raise ValueError(f"a key of {len(key)} bytes, expected 1 to {LONGEST_KEY}")
        if not 1 <= most <= MOST:
            raise ValueError(f"a limit of {most}, expected 1 to {MOST}")
        if self.worker < 0:
            raise ValueError("only a worker counts")
        if not enter(&self.table, PATIENCE_MS):
            return NOT_ASKED
        cdef int entry = self.count_one(key, size, most)
        leave(&self.table)
        return entry

    cdef int count_one(
        self, const unsigned char *key, uint32_t size, int most
    ) noexcept nogil:
        """One connection more, if there is room for it; under the lock."""
        cdef Table *table = &self.table
        cdef uint32_t hash = hash_of(table, key, size)
        cdef uint32_t entry = find(table, key, size, hash)
        cdef uint32_t ours = <uint32_t> self.worker << COUNT_BITS
        cdef uint32_t *spare = NULL
        cdef uint32_t *word
        cdef uint32_t number
        cdef int total = 0
        if not entry:
            entry = add(table, key, size, hash, ours | 1)
            if not entry:
                return -2
            commit(table)
            return <int> entry
        for number in range(values_of(&table.cells[entry])):
            word = value_at(table, entry, number)
            total += word[0] & MOST
            if word[0] >> COUNT_BITS == <uint32_t> self.worker:
                spare = word
            elif spare is NULL and word[0] & MOST == 0:
                spare = word
        if total >= most:
            return -1
        if spare is not NULL:
            plan(table, spare, ours | ((spare[0] & MOST) + 1))
        elif not grow(table, entry, ours | 1):
            return -2
        commit(table)
        return <int> entry

    def give_back(self, int entry):
        if not enter(&self.table, PATIENCE_MS):
            return False
        cdef bint held = 0 < entry <= <int> self.table.head.fresh and self.take_back(entry)
        leave(&self.table)
        if not held:
            raise ValueError(f"entry {entry} was given back more often than taken")
        return True

    cdef bint take_back(self, uint32_t entry) noexcept nogil:
        """One connection of this worker less; False where it has none. Under the lock."""
        cdef Table *table = &self.table
        cdef uint32_t *mine = NULL
        cdef uint32_t *word
        cdef uint32_t number, total = 0
        for number in range(values_of(&table.cells[entry])):
            word = value_at(table, entry, number)
            total += word[0] & MOST
            if word[0] >> COUNT_BITS == <uint32_t> self.worker:
                mine = word
        if mine is NULL or mine[0] & MOST == 0:
            return False
        if total == 1:
            remove(table, entry)
        else:
            plan(table, mine, mine[0] - 1)
        commit(table)
        return True

    def forget_worker(self, int worker):
        cdef uint32_t entry = 1, last
        while True:
            if not enter(&self.table, LAST_PATIENCE_MS):
                return False
            last = min(entry + SWEEP, self.table.head.fresh + 1)
            while entry < last:
                forget(&self.table, entry, <uint32_t> worker)
                entry += 1
            last = self.table.head.fresh
            leave(&self.table)
            if entry > last:
                return True

    def count(self, bytes key not None):
        cdef Table *table = &self.table
        cdef uint32_t number, entry, total = 0
        if not enter(table, LAST_PATIENCE_MS):
            raise TimeoutError("the lock of the zone was not to be had")
        entry = find(table, key, <uint32_t> len(key), hash_of(table, key, <uint32_t> len(key)))
        if entry:
            for number in range(values_of(&table.cells[entry])):
                total += value_at(table, entry, number)[0] & MOST
        leave(table)
        return total

    @property
    def keys(self):
        return self.table.head.entries

    @property
    def cells(self):
        return self.table.head.cells

    @property
    def used(self):
        return self.table.head.used

    @property
    def deaths(self):
        return self.table.head.deaths

    def _mutex_address(self):
        return <size_t> &self.table.head.lock.mutex


cdef void forget(Table *table, uint32_t entry, uint32_t worker) noexcept nogil:
    """Take a dead worker's connections out of one entry; under the lock."""
    cdef Cell *cell = &table.cells[entry]
    cdef uint32_t *theirs = NULL
    cdef uint32_t *word
    cdef uint32_t number, others = 0
    if not cell.shape:
        return
    for number in range(values_of(cell)):
        word = value_at(table, entry, number)
        if word[0] >> COUNT_BITS == worker:
            theirs = word
        else:
            others += word[0] & MOST
    if theirs is NULL or theirs[0] & MOST == 0:
        return
    if others:
        plan(table, theirs, worker << COUNT_BITS)
    else:
        remove(table, entry)
    commit(table)
