"""Changing a peer under the mutex so that a process may be killed at any instruction.

The holder of the mutex first computes, then writes what is to be into the journal of the upstream
(and what a choice moves of all peers into the rows themselves, as a chain), then sets `pending`,
and only then does it. Everything in the journal is a value, never a difference, so doing it twice
is doing it once. Whoever inherits the mutex finds `pending` set and does all of it again, or finds
it clear and nothing was changed. There is no third case, so no choice is ever half made.

Who does not get the mutex in time (its holder is stopped, not dead) counts without it and leaves
`dirty` behind: the next holder sums the connections again from the gauges, each of which has one
writer. So does the heir of a mutex, and whoever takes back the connections of a dead worker.
"""

from libc.stdint cimport int32_t, uint32_t

from tidegate.scoreboard.layout cimport Map, Row, State, UpstreamSlot, gauge_at, upstream_at
from tidegate.scoreboard.lock cimport take_lock
from tidegate.scoreboard.mutex cimport (
    HELD,
    INHERITED,
    add_i32,
    add_u32,
    in_order,
    let_go,
    mended,
    read_i32,
    read_u32,
    swap_u32,
    write_i32,
    write_u32,
)

cdef enum:
    # The mutex is held for well under a microsecond; 10 ms means its holder does not run.
    PATIENCE_MS = 10


cdef inline void put_next(Row *row) noexcept nogil:
    row.current_weight = row.next_current_weight
    row.state.effective_weight = row.next_effective_weight
    row.inflight_ms = row.next_inflight_ms
    row.credit = row.next_credit


cdef inline void do_pending(Map *board, UpstreamSlot *upstream) noexcept nogil:
    cdef Row *row
    cdef int index = upstream.chain
    while index >= 0:
        row = &board.rows[index]
        put_next(row)
        index = row.next_row
    board.rows[upstream.row].state = upstream.state
    write_i32(gauge_at(board, upstream.worker, upstream.row), upstream.gauge)
    in_order()
    upstream.pending = 0


cdef inline void commit(
    Map *board, UpstreamSlot *upstream, int chain, int row, State *state, int worker, int gauge
) noexcept nogil:
    """Make `state` and `gauge` those of `row`, and what is next along `chain` theirs, as one."""
    upstream.chain = chain
    upstream.row = row
    upstream.worker = worker
    upstream.gauge = gauge
    upstream.state = state[0]
    in_order()
    upstream.pending = 1
    in_order()
    do_pending(board, upstream)


cdef inline void sum_conns(Map *board, int upstream) noexcept nogil:
    """Set the `conns` of every peer of `upstream` to the sum of its gauges."""
    cdef Row *row
    cdef int32_t conns
    cdef unsigned int index, worker
    for index in range(read_u32(&board.header.peers_used)):
        row = &board.rows[index]
        if row.owner != upstream + 1:
            continue
        conns = 0
        for worker in range(read_u32(&board.header.workers_used)):
            conns += read_i32(gauge_at(board, worker, index))
        write_i32(&row.state.conns, conns)


cdef inline bint enter(Map *board, int index, int patience_ms) noexcept nogil:
    """Take the mutex of an upstream and mend what a dead holder left; False when not got."""
    cdef UpstreamSlot *upstream = upstream_at(board, index)
    cdef int outcome = take_lock(&upstream.lock, patience_ms)
    if outcome != HELD and outcome != INHERITED:
        return False
    if upstream.pending:
        do_pending(board, upstream)
    if outcome == INHERITED:
        upstream.deaths += 1
        sum_conns(board, index)
        mended(&upstream.lock.mutex)
    if upstream.summed != upstream.lock.made:
        upstream.summed = upstream.lock.made
        sum_conns(board, index)
    if read_u32(&upstream.dirty):
        swap_u32(&upstream.dirty, 0)
        sum_conns(board, index)
    return True


cdef inline void leave(Map *board, int index) noexcept nogil:
    let_go(&upstream_at(board, index).lock.mutex)


cdef inline void count_unlocked(
    Map *board, int upstream, int row, int worker, int n
) noexcept nogil:
    """Add `n` connections of `worker` to `row` without the mutex."""
    cdef int32_t *gauge = gauge_at(board, worker, row)
    write_i32(gauge, gauge[0] + n)
    add_i32(&board.rows[row].state.conns, n)
    add_u32(&upstream_at(board, upstream).unlocked, 1)
    write_u32(&upstream_at(board, upstream).dirty, 1)
