"""Entries of a table (`cells.pxd`) in an order: each knows the one before it and the one after it.

The last two words of a value are the links, 0 for none. All of this plans, as `cells.pxd` does, and
`commit` makes it one act. An entry has one cell, so its words lie beside each other.
"""

from libc.stdint cimport uint32_t

from tidegate.scoreboard.cells cimport Head, Table, plan, value_at, values_of


cdef inline uint32_t *older_of(Table *table, uint32_t entry) noexcept nogil:
    return value_at(table, entry, values_of(&table.cells[entry]) - 2)


cdef inline uint32_t *newer_of(Table *table, uint32_t entry) noexcept nogil:
    return value_at(table, entry, values_of(&table.cells[entry]) - 1)


cdef inline void put_first(Table *table, uint32_t entry) noexcept nogil:
    """Plan that a new entry, whose own links are written, is the newest."""
    cdef Head *head = table.head
    if head.newest:
        plan(table, newer_of(table, head.newest), entry)
    else:
        plan(table, &head.oldest, entry)
    plan(table, &head.newest, entry)


cdef inline void unlink(Table *table, uint32_t entry) noexcept nogil:
    """Plan that the neighbours of an entry are each other's."""
    cdef uint32_t older = older_of(table, entry)[0]
    cdef uint32_t newer = newer_of(table, entry)[0]
    if newer:
        plan(table, older_of(table, newer), older)
    else:
        plan(table, &table.head.newest, older)
    if older:
        plan(table, newer_of(table, older), newer)
    else:
        plan(table, &table.head.oldest, newer)


cdef inline void move_first(Table *table, uint32_t entry) noexcept nogil:
    """Plan that an entry becomes the newest."""
    cdef uint32_t newest = table.head.newest
    if newest == entry:
        return
    unlink(table, entry)
    plan(table, newer_of(table, newest), entry)
    plan(table, older_of(table, entry), newest)
    plan(table, newer_of(table, entry), 0)
    plan(table, &table.head.newest, entry)
