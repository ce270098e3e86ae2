"""Keys with a few words of value each, in shared memory that any process may die in the midst of.

    head | buckets | cells

A key is a string of bytes; its value a row of 32-bit words that may grow. Both lie in cells of 64
bytes, the words behind the key, so that a short key with its value takes one cell. Entries of one
bucket are linked by `next`, the cells of one entry, and the free ones, by `more`. Cells count
from 1; 0 is none. Memory is taken as cells come into use for the first time.

Entries may be kept in an order, too (`order.pxd`).

Whoever changes something holds the lock. What is not yet part of the table (a free cell's words) is
written at once; everything else is planned as a list of words to be written, and `commit` makes it
one act: the list is complete before `pending` says so, and writing it twice is writing it once.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from tidegate.scoreboard.lock cimport Lock, take_lock
from tidegate.scoreboard.mutex cimport HELD, INHERITED, in_order, let_go, make_mutex, mended

cdef enum:
    CELL = 64
    WORDS = 12  # of a cell, for key and value
    CELL_BYTES = WORDS * 4
    LONGEST_KEY = 255  # nginx's
    ENTRY = 1 << 30  # in `shape`
    VALUES_SHIFT = 8
    PLANNED = 24  # the longest plan is an entry of six cells: 13 words
    CELLS_OF_A_BUCKET = 4  # on average, when all cells are in use

cdef struct Change:
    uint32_t place  # words from the beginning of the memory
    uint32_t value

cdef struct Cell:
    uint32_t next
    uint32_t more
    uint32_t hash
    uint32_t shape  # ENTRY, number of value words, bytes of the key; 0 where no entry begins
    uint32_t words[WORDS]

cdef struct Head:
    uint64_t magic
    uint32_t version
    uint32_t cell_size
    uint32_t lock_size
    uint32_t buckets  # a power of two
    uint32_t cells
    uint32_t spare
    uint64_t size
    uint64_t seed  # unknown outside, so that nobody can choose keys for one bucket
    Lock lock
    uint32_t deaths  # how often the lock was inherited from a dead process
    uint32_t free  # the first free cell that was in use before
    uint32_t fresh  # the highest cell ever used
    uint32_t used
    uint32_t entries
    uint32_t newest  # of entries that are kept in an order
    uint32_t oldest
    uint32_t dropped  # to make room for others
    uint32_t acts  # so many changes, more or less: for who wants to know that there were some
    uint32_t pending  # of `changes`: decided, perhaps not yet done
    Change changes[PLANNED]

cdef struct Table:
    # A mapped memory in one process, and the plan that it makes.
    Head *head
    uint32_t *buckets
    Cell *cells  # cells[0] is not there
    uint32_t planned


# --- layout ---

cdef inline uint32_t buckets_for(uint64_t size) noexcept nogil:
    cdef uint32_t buckets = 1
    while <uint64_t> buckets * 2 * CELLS_OF_A_BUCKET * CELL <= size and buckets < 1 << 28:
        buckets *= 2
    return buckets


cdef inline uint64_t cells_offset(uint32_t buckets) noexcept nogil:
    cdef uint64_t end = sizeof(Head) + <uint64_t> buckets * sizeof(uint32_t)
    return (end + CELL - 1) // CELL * CELL


cdef inline void place_table(Table *table, char *base, uint32_t buckets) noexcept nogil:
    table.head = <Head *> base
    table.buckets = <uint32_t *> (base + sizeof(Head))
    table.cells = <Cell *> (base + cells_offset(buckets)) - 1
    table.planned = 0


cdef inline bint begin_table(
    Table *table, char *base, uint64_t size, uint64_t seed, uint32_t version
) noexcept nogil:
    """Make a table of new memory, but for its `magic`; False where there is no such mutex."""
    cdef uint32_t buckets = buckets_for(size)
    cdef Head *head
    place_table(table, base, buckets)
    head = table.head
    head.version = version
    head.cell_size = sizeof(Cell)
    head.lock_size = sizeof(Lock)
    head.buckets = buckets
    head.cells = <uint32_t> ((size - cells_offset(buckets)) // CELL)
    head.size = size
    head.seed = seed
    return make_mutex(&head.lock.mutex) == 0


# --- one act ---

cdef inline void plan(Table *table, uint32_t *place, uint32_t value) noexcept nogil:
    cdef Change *change = &table.head.changes[table.planned]
    change.place = <uint32_t> (place - <uint32_t *> table.head)
    change.value = value
    table.planned += 1


cdef inline void do_changes(Head *head) noexcept nogil:
    cdef uint32_t index
    for index in range(head.pending):
        (<uint32_t *> head)[head.changes[index].place] = head.changes[index].value
    in_order()
    head.pending = 0


cdef inline void commit(Table *table) noexcept nogil:
    in_order()
    table.head.pending = table.planned
    in_order()
    do_changes(table.head)
    table.planned = 0


cdef inline bint enter(Table *table, int patience_ms) noexcept nogil:
    """Take the lock and end what a dead holder began; False when it was not to be had in time."""
    cdef Head *head = table.head
    cdef int outcome = take_lock(&head.lock, patience_ms)
    if outcome != HELD and outcome != INHERITED:
        return False
    do_changes(head)
    table.planned = 0
    if outcome == INHERITED:
        head.deaths += 1
        mended(&head.lock.mutex)
    return True


cdef inline void leave(Table *table) noexcept nogil:
    let_go(&table.head.lock.mutex)


# --- entries ---

cdef inline uint32_t hash_bytes(
    uint64_t seed, const unsigned char *key, uint32_t size
) noexcept nogil:
    cdef uint64_t hash = seed ^ size * 0x9e3779b97f4a7c15ULL
    cdef uint64_t part
    cdef uint32_t at = 0, length
    while at < size:
        part = 0
        length = min(size - at, 8)
        memcpy(&part, key + at, length)
        hash = (hash ^ part) * 0xff51afd7ed558ccdULL
        hash ^= hash >> 32
        at += length
    hash *= 0xc4ceb9fe1a85ec53ULL
    return <uint32_t> (hash >> 32)


cdef inline uint32_t hash_of(Table *table, const unsigned char *key, uint32_t size) noexcept nogil:
    return hash_bytes(table.head.seed, key, size)


cdef inline uint32_t key_size(const Cell *entry) noexcept nogil:
    return entry.shape & ((1 << VALUES_SHIFT) - 1)


cdef inline uint32_t key_words(uint32_t size) noexcept nogil:
    return (size + 3) // 4


cdef inline uint32_t values_of(const Cell *entry) noexcept nogil:
    return (entry.shape & ~<uint32_t> ENTRY) >> VALUES_SHIFT


cdef inline uint32_t shape_of(uint32_t size, uint32_t values) noexcept nogil:
    return <uint32_t> ENTRY | values << VALUES_SHIFT | size


cdef inline uint32_t *word_at(Table *table, uint32_t entry, uint32_t place) noexcept nogil:
    """A word of an entry, of key and value as they follow each other."""
    while place >= WORDS:
        entry = table.cells[entry].more
        place -= WORDS
    return &table.cells[entry].words[place]


cdef inline uint32_t *value_at(Table *table, uint32_t entry, uint32_t number) noexcept nogil:
    return word_at(table, entry, key_words(key_size(&table.cells[entry])) + number)


cdef inline bint has_key(
    Table *table, uint32_t entry, const unsigned char *key, uint32_t size
) noexcept nogil:
    cdef uint32_t at = 0, length
    while at < size:
        length = min(size - at, <uint32_t> CELL_BYTES)
        if memcmp(table.cells[entry].words, key + at, length) != 0:
            return False
        at += length
        entry = table.cells[entry].more
    return True


cdef inline uint32_t find(
    Table *table, const unsigned char *key, uint32_t size, uint32_t hash
) noexcept nogil:
    """The entry of a key, 0 for none."""
    cdef uint32_t entry = table.buckets[hash & (table.head.buckets - 1)]
    cdef Cell *cell
    while entry:
        cell = &table.cells[entry]
        if cell.hash == hash and key_size(cell) == size and has_key(table, entry, key, size):
            return entry
        entry = cell.next
    return 0


cdef inline bint room_for(Table *table, uint32_t count) noexcept nogil:
    return table.head.cells - table.head.used >= count


cdef inline uint32_t take_cells(Table *table, uint32_t count) noexcept nogil:
    """Plan to use `count` cells, linked by `more`; there must be room. Gives the first."""
    cdef Head *head = table.head
    cdef uint32_t free = head.free, fresh = head.fresh
    cdef uint32_t first = 0, last = 0, cell, _number
    for _number in range(count):
        if free:
            cell = free
            free = table.cells[cell].more
        else:
            fresh += 1
            cell = fresh
        if last:
            plan(table, &table.cells[last].more, cell)
        else:
            first = cell
        last = cell
    plan(table, &table.cells[last].more, 0)
    plan(table, &head.free, free)
    plan(table, &head.fresh, fresh)
    plan(table, &head.used, head.used + count)
    return first


cdef inline uint32_t add(
    Table *table, const unsigned char *key, uint32_t size, uint32_t hash, uint32_t value
) noexcept nogil:
    """Plan an entry for a key that is not there, with one word; gives it, or 0 without room."""
    cdef Head *head = table.head
    cdef uint32_t words = key_words(size)
    cdef uint32_t count = words // WORDS + 1
    cdef uint32_t *bucket = &table.buckets[hash & (head.buckets - 1)]
    cdef uint32_t entry, cell, at = 0, length, number
    if not room_for(table, count):
        return 0
    entry = cell = take_cells(table, count)
    for number in range(count):
        length = min(size - at, <uint32_t> CELL_BYTES)
        memcpy(table.cells[cell].words, key + at, length)
        at += length
        if number + 1 < count:
            cell = next_planned(table, cell)
    table.cells[cell].words[words % WORDS] = value
    table.cells[entry].hash = hash
    table.cells[entry].next = bucket[0]
    plan(table, &table.cells[entry].shape, shape_of(size, 1))
    plan(table, bucket, entry)
    plan(table, &head.entries, head.entries + 1)
    return entry


cdef inline uint32_t next_planned(Table *table, uint32_t cell) noexcept nogil:
    """Where `more` of a cell will lead when the plan is carried out."""
    cdef uint32_t place = <uint32_t> (&table.cells[cell].more - <uint32_t *> table.head)
    cdef uint32_t index
    for index in range(table.planned):
        if table.head.changes[index].place == place:
            return table.head.changes[index].value
    return table.cells[cell].more


cdef inline bint grow(Table *table, uint32_t entry, uint32_t value) noexcept nogil:
    """Plan one more word behind the value of an entry; False without room."""
    cdef Cell *head = &table.cells[entry]
    cdef uint32_t place = key_words(key_size(head)) + values_of(head)
    cdef uint32_t last, cell
    if place % WORDS:
        # Behind the words of the entry, so nobody reads it yet.
        word_at(table, entry, place)[0] = value
    else:
        if not room_for(table, 1):
            return False
        last = entry
        while table.cells[last].more:
            last = table.cells[last].more
        cell = take_cells(table, 1)
        table.cells[cell].words[0] = value
        plan(table, &table.cells[last].more, cell)
    plan(table, &head.shape, shape_of(key_size(head), values_of(head) + 1))
    return True


cdef inline void remove(Table *table, uint32_t entry) noexcept nogil:
    """Plan to free an entry with all its cells."""
    cdef Head *head = table.head
    cdef uint32_t *link = &table.buckets[table.cells[entry].hash & (head.buckets - 1)]
    cdef uint32_t last = entry, count = 1
    while link[0] != entry:
        link = &table.cells[link[0]].next
    while table.cells[last].more:
        last = table.cells[last].more
        count += 1
    plan(table, link, table.cells[entry].next)
    plan(table, &table.cells[entry].shape, 0)
    plan(table, &table.cells[last].more, head.free)
    plan(table, &head.free, entry)
    plan(table, &head.used, head.used - count)
    plan(table, &head.entries, head.entries - 1)
