"""The board: its memory, and what the master does with it; see board.pyi."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from tidegate.scoreboard.flights cimport count_flights, forget_flights
from tidegate.scoreboard.journal cimport PATIENCE_MS, count_unlocked, enter, leave, sum_conns
from tidegate.scoreboard.layout cimport (
    CONNECT,
    COUNTERS,
    FIRST_BYTE,
    GAUGES,
    LAST_BYTE,
    READY,
    VERSION,
    Header,
    Map,
    Row,
    UpstreamSlot,
    gauge_at,
    place_parts,
    upstream_at,
)
from tidegate.scoreboard.mutex cimport (
    make_mutex,
    pthread_mutex_t,
    raise_to,
    read_i32,
    read_u32,
    write_i32,
    write_u32,
)

WORKER_COUNTERS = COUNTERS
WORKER_GAUGES = GAUGES

cdef uint64_t MAGIC = 0x6472616f62656474ULL  # "tdeboard" as it stands in memory
# No bound but that of the address space: it is made for any number of workers and peers.
cdef size_t ANY_SIZE = <size_t> -1


@cython.final
cdef class Board(Memory):
    """One sparse memfd, mapped once and never grown."""

    def __init__(self):
        raise TypeError("a board comes from Board.create or Board.attach")

    @staticmethod
    def create(*, int workers, int upstreams, int peers):
        if workers < 1 or upstreams < 1 or peers < 1:
            raise ValueError(f"no board for {workers=} {upstreams=} {peers=}")
        cdef Board board = Board.__new__(Board)
        cdef Map nowhere
        board.workers = workers
        board.upstreams = upstreams
        board.peers = peers
        board.make("board", place_parts(&nowhere, NULL, workers, upstreams, peers))
        place_parts(&board.map, board.base, workers, upstreams, peers)
        cdef Header *header = board.map.header
        header.version = VERSION
        header.counters = COUNTERS
        header.workers = workers
        header.upstreams = upstreams
        header.peers = peers
        header.upstream_size = sizeof(UpstreamSlot)
        header.row_size = sizeof(Row)
        header.mutex_size = sizeof(pthread_mutex_t)
        header.size = board.size
        header.magic = MAGIC
        return board

    @staticmethod
    def attach(int fd):
        cdef Board board = Board.__new__(Board)
        board.join(fd, "board", sizeof(Header), ANY_SIZE)
        # Nothing is known yet of what comes behind the header.
        place_parts(&board.map, board.base, 0, 0, 0)
        cdef Header *header = board.map.header
        if header.magic != MAGIC:
            raise ValueError(f"descriptor {fd} is no board: it begins with {header.magic:#x}")
        found = (
            header.version,
            header.counters,
            header.upstream_size,
            header.row_size,
            header.mutex_size,
        )
        ours = VERSION, COUNTERS, sizeof(UpstreamSlot), sizeof(Row), sizeof(pthread_mutex_t)
        if found != ours:
            raise ValueError(f"the board is of another version: {found}, expected {ours}")
        board.workers = header.workers
        board.upstreams = header.upstreams
        board.peers = header.peers
        size = place_parts(&board.map, board.base, board.workers, board.upstreams, board.peers)
        if not size == board.size == header.size:
            raise ValueError(f"the board has {board.size} bytes, expected {size}")
        return board

    def worker_counters(self, int worker):
        within(worker, self.workers, "worker")
        return memoryview(words(self, self.map.counters + worker * COUNTERS, COUNTERS))

    def serial(self):
        return memoryview(words(self, &self.map.header.serial, 1))

    def forget_worker(self, int worker):
        within(worker, self.workers, "worker")
        memset(self.map.counters + worker * COUNTERS, 0, GAUGES * sizeof(uint64_t))
        cdef int upstream
        for upstream in range(<int> read_u32(&self.map.header.upstreams_used)):
            # Also where no gauge tells of it: a journal left pending would bring one back.
            if upstream_at(&self.map, upstream).ready == READY:
                take_back(&self.map, upstream, worker)

    def reset_upstream(self, int upstream):
        within(upstream, self.upstreams, "upstream")
        cdef UpstreamSlot *slot = upstream_at(&self.map, upstream)
        memset(slot, 0, sizeof(UpstreamSlot))
        if make_mutex(&slot.lock.mutex):
            raise OSError("this system has no robust mutex between processes")
        write_u32(&slot.ready, READY)
        raise_to(&self.map.header.upstreams_used, upstream + 1)

    def reset_peer(self, int peer):
        cdef Row *row = &self.map.rows[within(peer, self.peers, "peer")]
        if row.owner == 0:
            return  # as at the start; writing zeros would only make pages of it
        cdef int worker
        for worker in range(<int> read_u32(&self.map.header.workers_used)):
            write_i32(gauge_at(&self.map, worker, peer), 0)
            forget_flights(&self.map, worker, peer)
        memset(row, 0, sizeof(Row))

    def renew_peer(self, int peer):
        cdef Row *row = &self.map.rows[within(peer, self.peers, "peer")]
        cdef int upstream = row.owner - 1
        if upstream < 0:
            return True
        # Who still knows of it goes by this mutex, before and after.
        if not enter(&self.map, upstream, PATIENCE_MS):
            return False
        cdef bint idle = is_idle(&self.map, peer)
        if idle:
            memset(row, 0, sizeof(Row))
        leave(&self.map, upstream)
        return idle

    def peer_row(self, int peer):
        cdef Row *row = &self.map.rows[within(peer, self.peers, "peer")]
        cdef PeerRow copy = PeerRow.__new__(PeerRow)
        cdef int64_t began
        copy.conns = row.state.conns
        copy.selected = row.state.selected
        copy.fails = row.state.fails
        copy.total_fails = row.state.total_fails
        copy.checked = row.state.checked
        copy.accessed = row.state.accessed
        copy.back = row.state.back
        copy.early_closes = row.early_closes
        copy.failed_why = row.failed_why
        copy.failed_at = row.failed_at
        copy.connect_ms = row.state.times[CONNECT]
        copy.first_byte_ms = row.state.times[FIRST_BYTE]
        copy.last_byte_ms = row.state.times[LAST_BYTE]
        copy.inflight_ms = row.inflight_ms
        copy.inflight = count_flights(&self.map, peer, &began)
        return copy

    def upstream_row(self, int upstream):
        within(upstream, self.upstreams, "upstream")
        cdef UpstreamSlot *slot = upstream_at(&self.map, upstream)
        cdef UpstreamRow copy = UpstreamRow.__new__(UpstreamRow)
        copy.deaths = slot.deaths
        copy.unlocked = slot.unlocked
        return copy

    def _mutex_address(self, int upstream):
        within(upstream, self.upstreams, "upstream")
        return <size_t> &upstream_at(&self.map, upstream).lock.mutex


cdef bint is_idle(Map *board, int row) noexcept nogil:
    """Whether no worker has a connection to the peer of a row, or is under way to it."""
    cdef int64_t began
    cdef int worker
    for worker in range(<int> read_u32(&board.header.workers_used)):
        if read_i32(gauge_at(board, worker, row)):
            return False
    return count_flights(board, row, &began) == 0


cdef void take_back(Map *board, int upstream, int worker) noexcept nogil:
    """Zero the gauges that a dead worker has in one upstream, and sum its peers' `conns` again."""
    cdef bint locked = enter(board, upstream, PATIENCE_MS)
    cdef int32_t held
    cdef int row
    for row in range(<int> read_u32(&board.header.peers_used)):
        if board.rows[row].owner != upstream + 1:
            continue
        forget_flights(board, worker, row)
        held = read_i32(gauge_at(board, worker, row))
        if held == 0:
            continue
        if locked:
            write_i32(gauge_at(board, worker, row), 0)
        else:
            count_unlocked(board, upstream, row, worker, -held)
    if locked:
        # A difference would not do: who counted without the mutex may have died half-way.
        sum_conns(board, upstream)
        leave(board, upstream)


cdef Words words(Board board, uint64_t *first, Py_ssize_t count):
    cdef Words view = Words.__new__(Words)
    view.board = board
    view.first = first
    view.count = count
    view.step = sizeof(uint64_t)
    return view


@cython.final
cdef class Words:
    """64-bit words of a board, for memoryviews: they keep the mapping alive."""

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        buffer.buf = self.first
        buffer.len = self.count * self.step
        buffer.itemsize = self.step
        buffer.readonly = 0
        buffer.ndim = 1
        buffer.format = b"Q"
        buffer.shape = &self.count
        buffer.strides = &self.step
        buffer.suboffsets = NULL
        buffer.internal = NULL
        buffer.obj = self


@cython.final
cdef class PeerRow:
    """What the board knows of one peer; a copy."""


@cython.final
cdef class UpstreamRow:
    """What the board knows of one upstream beside its peers; a copy."""
