"""What lies where in the shared memory.

    header | counters of each worker | upstream slots | peer rows | gauges of each worker |
    flights of each worker

All of it starts as zeros that no page stands for; a page comes into being when its slot is used.
Every integer has one natural alignment and is written whole, so a reader without the mutex sees
an old value or a new one.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from tidegate.scoreboard.lock cimport Lock

cdef enum:
    LINE = 64  # bytes of a cache line: what two processes write lies on two of them
    COUNTERS = 64  # per worker
    GAUGES = 8  # so many of them, the first, end with the worker; the rest are totals
    VERSION = 1
    READY = 0x71de6a7e

cdef enum:
    # What `least_time` may go by, as places in `times`.
    CONNECT = 0
    FIRST_BYTE
    LAST_BYTE
    METRICS

cdef struct Header:
    uint64_t magic
    uint32_t version
    uint32_t counters
    uint32_t workers
    uint32_t upstreams
    uint32_t peers
    uint32_t upstream_size
    uint32_t row_size
    uint32_t mutex_size
    uint64_t size
    # One more than the highest slot ever used: sweeps stop here and touch no page beyond.
    uint32_t workers_used
    uint32_t upstreams_used
    uint32_t peers_used
    uint32_t spare
    uint64_t serial  # the second cache line: every connection of every worker writes it

cdef struct State:
    # What one choice or release changes of a peer; the journal holds one whole.
    uint64_t selected
    int32_t conns  # the sum of the peer's gauges
    int32_t fails
    int32_t checked  # whole seconds of CLOCK_MONOTONIC, as nginx's `checked`
    int32_t accessed
    uint32_t total_fails
    int32_t effective_weight
    uint32_t times[METRICS]  # averages in milliseconds; 0 is none yet
    uint32_t spare
    int64_t back  # ms of CLOCK_MONOTONIC when `slow_start` began, 0 when it does not run

cdef struct Row:
    State state
    int64_t current_weight
    int64_t credit  # towards a choice while `slow_start` runs, in weights
    int64_t next_credit
    int64_t next_current_weight  # the journal's part in this row, and the next one of its chain
    int32_t next_effective_weight
    int32_t next_row
    int32_t owner  # 1 + the upstream; 0 in a row that nobody has used yet
    int32_t early_closes  # written with atomic instructions, not under the mutex
    # The last failure, for people: written by who saw it, without the mutex.
    int32_t failed_why
    int32_t flies  # 1 once somebody took off to this peer: its flights are worth a look
    int32_t down  # 1 when the last group begun here has it `down`
    int32_t spare
    int64_t failed_at  # seconds of CLOCK_REALTIME
    uint32_t inflight_ms  # average age of those who were under way, at each choice
    uint32_t next_inflight_ms  # the journal's part of it

cdef struct Flights:
    # Those of a worker that are under way to a peer.
    int64_t began
    int32_t count
    int32_t spare

cdef struct UpstreamSlot:
    Lock lock
    uint32_t ready  # READY once the mutex is one
    uint32_t summed  # `made` of the lock when `conns` were last known to be right
    uint32_t dirty  # 1 when somebody counted without the mutex: `conns` are to be summed again
    uint32_t deaths  # how often the mutex was inherited from a dead process
    uint32_t unlocked  # connections counted without it
    uint64_t shape  # of the last group begun here: its rows, weights, backups
    # The journal: what the holder of the mutex has decided and is about to write.
    uint32_t pending
    int32_t chain  # first row whose weights change, -1 for none
    int32_t row
    int32_t worker
    int32_t gauge
    State state

cdef struct Map:
    # Where the parts of a mapped board begin.
    Header *header
    uint64_t *counters
    char *upstreams
    Row *rows
    int32_t *gauges
    Flights *flights
    size_t upstream_step  # bytes from one upstream slot to the next: whole cache lines
    size_t gauge_step  # entries from one worker's gauges to the next's: whole cache lines
    size_t flights_step  # the same of its flights


cdef inline size_t whole_lines(size_t size) noexcept nogil:
    return (size + LINE - 1) // LINE * LINE


cdef inline UpstreamSlot *upstream_at(Map *board, int upstream) noexcept nogil:
    return <UpstreamSlot *> (board.upstreams + upstream * board.upstream_step)


cdef inline int32_t *gauge_at(Map *board, int worker, int row) noexcept nogil:
    """The connections of `worker` to the peer of `row`; that worker alone writes it while alive."""
    return board.gauges + worker * board.gauge_step + row


cdef inline Flights *flights_at(Map *board, int worker, int row) noexcept nogil:
    """Who of `worker` is under way to the peer of `row`; that worker alone writes it."""
    return board.flights + worker * board.flights_step + row


cdef inline size_t place_parts(
    Map *board, char *base, int workers, int upstreams, int peers
) noexcept nogil:
    """Fill `board` for a mapping at `base` with room for so many; returns the bytes it takes."""
    cdef size_t offset = whole_lines(sizeof(Header))
    board.upstream_step = whole_lines(sizeof(UpstreamSlot))
    board.gauge_step = whole_lines(<size_t> peers * sizeof(int32_t)) // sizeof(int32_t)
    board.header = <Header *> base
    board.flights_step = whole_lines(<size_t> peers * sizeof(Flights)) // sizeof(Flights)
    board.counters = <uint64_t *> (base + offset)
    offset += <size_t> workers * COUNTERS * sizeof(uint64_t)
    board.upstreams = base + offset
    offset += upstreams * board.upstream_step
    board.rows = <Row *> (base + offset)
    offset += <size_t> peers * sizeof(Row)
    board.gauges = <int32_t *> (base + offset)
    offset += workers * board.gauge_step * sizeof(int32_t)
    board.flights = <Flights *> (base + offset)
    offset += workers * board.flights_step * sizeof(Flights)
    return offset
