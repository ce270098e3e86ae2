"""The peers of one upstream, chosen as all workers would choose them; see group.pyi.

Everything between `enter` and `leave` touches no Python object; a Python error there would leave
the mutex taken. A group belongs to one process and is used by one thread at a time.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.limits cimport INT_MAX
from libc.stdint cimport int32_t, int64_t, uint64_t

from tidegate.scoreboard.board cimport Board, within
from tidegate.scoreboard.candidate cimport (
    WHOLE,
    Candidate,
    compare_load,
    eligible,
    full,
    keep_weights,
    moves,
    note_next,
)
from tidegate.scoreboard.flights cimport land, milliseconds, take_off
from tidegate.scoreboard.journal cimport (
    PATIENCE_MS,
    commit,
    count_unlocked,
    enter,
    leave,
    put_next,
)
from tidegate.scoreboard.layout cimport (
    METRICS,
    READY,
    Map,
    Row,
    State,
    UpstreamSlot,
    gauge_at,
    upstream_at,
)
from tidegate.scoreboard.least_conn cimport choose_least
from tidegate.scoreboard.least_time cimport averaged, choose_soonest, compare_expected, expected
from tidegate.scoreboard.mutex cimport add_i32, add_u64, raise_to, read_i32, seconds, write_i32
from tidegate.scoreboard.round_robin cimport ANY_SERVER, choose
from tidegate.scoreboard.slow_start cimport (
    account,
    come_back,
    forgive,
    hold_back,
    let_all,
    measure,
)

TIMES = ("connect", "first_byte", "last_byte")


@cython.final
cdef class Slot:
    """One peer as a group needs it: its row and its configured numbers."""

    def __init__(
        self,
        int row,
        *,
        int weight,
        int max_conns,
        int max_fails,
        int fail_timeout,
        bint down,
        bint backup,
        int server=0,
        int slow_start=0,
    ):
        if weight < 1 or min(max_conns, max_fails, fail_timeout, slow_start) < 0:
            raise ValueError(
                f"no peer with {weight=} {max_conns=} {max_fails=} {fail_timeout=} {slow_start=}"
            )
        self.row = row
        self.server = server
        self.weight = weight
        self.max_conns = max_conns
        self.max_fails = max_fails
        self.fail_timeout = fail_timeout
        self.slow_start = slow_start
        self.down = down
        self.backup = backup


@cython.final
cdef class Group:
    """One upstream as one worker sees it."""

    def __init__(self, Board board not None, int upstream, int worker, slots, *, bint begins=True):
        if self.candidates is not NULL:
            raise TypeError("a group begins once")
        self.board = board
        self.upstream = within(upstream, board.upstreams, "upstream")
        self.worker = within(worker, board.workers, "worker")
        self.clock = self.clock_ms = self.took_off = -1
        if upstream_at(&board.map, upstream).ready != READY:
            raise ValueError(f"upstream slot {upstream} was never reset")
        self.candidates = <Candidate *> PyMem_Calloc(len(slots) + 1, sizeof(Candidate))
        if self.candidates is NULL:
            raise MemoryError
        cdef Slot slot
        for slot in slots:
            self.add(slot)
        self.single = self.count == 1 and not self.has_backup
        self.slows &= not self.single
        raise_to(&board.map.header.workers_used, worker + 1)
        self.shape = 0xcbf29ce484222325ULL
        for slot in slots:
            for number in (slot.row, slot.weight, slot.backup):
                self.shape = (self.shape ^ <uint64_t> number) * 0x100000001b3ULL
        if begins:
            self.begin()

    def __dealloc__(self):
        PyMem_Free(self.candidates)

    cdef int add(self, Slot slot) except -1:
        cdef Candidate *candidate = &self.candidates[self.count]
        candidate.index = within(slot.row, self.board.peers, "peer")
        candidate.row = &self.board.map.rows[slot.row]
        candidate.gauge = gauge_at(&self.board.map, self.worker, slot.row)
        candidate.server = slot.server
        candidate.weight = slot.weight
        candidate.max_conns = slot.max_conns
        candidate.max_fails = slot.max_fails
        candidate.fail_timeout = slot.fail_timeout
        candidate.slow_start = slot.slow_start
        candidate.share = WHOLE
        candidate.down = slot.down
        candidate.backup = slot.backup
        if candidate.row.owner not in (0, self.upstream + 1):
            raise ValueError(f"peer {slot.row} belongs to upstream {candidate.row.owner - 1}")
        raise_to(&self.board.map.header.peers_used, slot.row + 1)
        self.has_backup |= slot.backup
        self.slows |= slot.slow_start > 0
        self.count += 1
        return 0

    cpdef void begin(self) noexcept:
        """Make the rows ready; a group of another shape than the last starts its round anew.

        Connections and failures of peers that stay are kept. Who joins some that stay, or was
        `down`, comes back.
        """
        cdef Map *board = &self.board.map
        cdef UpstreamSlot *slot = upstream_at(board, self.upstream)
        cdef bint locked = enter(board, self.upstream, PATIENCE_MS)
        cdef Candidate *candidate
        cdef bint anew = slot.shape != self.shape
        cdef bint joined = False
        cdef int index
        for index in range(self.count):
            joined |= slot.shape != 0 and self.candidates[index].row.owner != 0
        for index in range(self.count):
            candidate = &self.candidates[index]
            anew |= candidate.row.owner == 0
            if candidate.row.down > candidate.down or (joined and candidate.row.owner == 0):
                come_back(candidate, &candidate.row.state, self.clock)
            candidate.row.down = candidate.down
        if anew:
            for index in range(self.count):
                candidate = &self.candidates[index]
                candidate.row.current_weight = 0
                candidate.row.state.effective_weight = candidate.weight
                candidate.row.owner = self.upstream + 1
            slot.shape = self.shape
        if locked:
            leave(board, self.upstream)

    cdef int32_t now(self) noexcept nogil:
        return self.clock if self.clock >= 0 else seconds()

    cdef int64_t now_ms(self) noexcept nogil:
        return self.clock_ms if self.clock_ms >= 0 else milliseconds()

    cdef Candidate *candidate_at(self, int index) except NULL:
        return &self.candidates[within(index, self.count, "peer")]

    cdef unsigned char *marks(self, bytearray tried) except? NULL:
        if tried is None:
            return NULL
        if PyByteArray_GET_SIZE(tried) != self.count:
            raise ValueError(f"tried has {len(tried)} bytes, expected {self.count}")
        return <unsigned char *> PyByteArray_AS_STRING(tried)

    def pick_round_robin(self, bytearray tried=None):
        return self.pick(ROUND_ROBIN, -1, -1, tried)

    def pick_least_conn(self, bytearray tried=None):
        return self.pick(LEAST_CONN, -1, -1, tried)

    def pick_least_time(self, int by, *, bint inflight, bytearray tried=None):
        self.by = within(by, METRICS, "metric")
        self.inflight = inflight
        self.took_off = -1
        return self.pick(LEAST_TIME, -1, -1, tried)

    def pick_of_server(self, int server, bytearray tried=None):
        return self.pick(OF_SERVER, server, -1, tried)

    def pick_this(self, int index, bytearray tried=None):
        return self.pick(THIS_ONE, within(index, self.count, "peer"), -1, tried) >= 0

    def pick_lighter(self, int first, int second, bytearray tried=None):
        within(first, self.count, "peer")
        return self.pick(LIGHTER, first, within(second, self.count, "peer"), tried)

    def pick_quicker(self, int by, int first, int second, bytearray tried=None):
        self.by = within(by, METRICS, "metric")
        within(first, self.count, "peer")
        return self.pick(QUICKER, first, within(second, self.count, "peer"), tried)

    def live(self, int index, bytearray tried=None):
        within(index, self.count, "peer")
        return bool(eligible(self.candidates, index, self.marks(tried), self.now()))

    cdef int pick(self, Way way, int one, int other, bytearray tried) except -2:
        """Choose by `way`, reserve and mark the choice; -1 for none. Two numbers are the way's."""
        cdef unsigned char *marks = self.marks(tried)
        cdef int32_t now = self.now()
        cdef bint locked = enter(&self.board.map, self.upstream, PATIENCE_MS)
        self.slow = self.slows and measure(self.candidates, self.count, self.clock)
        cdef int index = self.decide(way, one, other, marks, now)
        if index >= 0:
            self.reserve(index, locked, now)
            if locked and way == LEAST_TIME and self.inflight and not self.single:
                self.took_off = self.now_ms()
                take_off(&self.board.map, self.worker, self.candidates[index].index, self.took_off)
            if marks is not NULL:
                marks[index] = 1
        if locked:
            leave(&self.board.map, self.upstream)
        else:
            self.unlocked += 1
        return index

    cdef int decide(
        self, Way way, int one, int other, unsigned char *tried, int32_t now
    ) noexcept nogil:
        if way == ROUND_ROBIN or way == LEAST_CONN or way == LEAST_TIME:
            return self.turn(way, tried, now)
        if way == OF_SERVER:
            return choose(self.candidates, self.count, tried, False, one, now)
        keep_weights(self.candidates, self.count)
        if way == LIGHTER:
            return self.lighter(one, other, tried, now)
        if way == QUICKER:
            return self.quicker(one, other, tried, now)
        return one if eligible(self.candidates, one, tried, now) else -1

    cdef int turn(self, Way way, unsigned char *tried, int32_t now) noexcept nogil:
        """The primary or else the backup that `way` leads to; -1 for none."""
        cdef int index, best
        if self.single:
            # nginx: the only address is never out of service by failures, nor tried out.
            return -1 if self.candidates[0].down or full(&self.candidates[0]) else 0
        best = self.turn_among(way, False, tried, now)
        if best >= 0 or not self.has_backup:
            return best
        if tried is not NULL:
            # A session that went over to the backups stays with them.
            for index in range(self.count):
                if not self.candidates[index].backup:
                    tried[index] = 1
        return self.turn_among(way, True, tried, now)

    cdef int turn_among(
        self, Way way, bint backup, unsigned char *tried, int32_t now
    ) noexcept nogil:
        if not self.slow or way == ROUND_ROBIN:
            return self.among(way, backup, tried, now)
        hold_back(self.candidates, self.count, tried, backup, now)
        cdef int best = self.among(way, backup, tried, now)
        if best < 0:
            let_all(self.candidates, self.count)
            best = self.among(way, backup, tried, now)
        account(self.candidates, self.count, best)
        return best

    cdef int among(
        self, Way way, bint backup, unsigned char *tried, int32_t now
    ) noexcept nogil:
        if way == LEAST_CONN:
            return choose_least(self.candidates, self.count, tried, backup, now)
        if way == LEAST_TIME:
            return choose_soonest(
                &self.board.map,
                self.candidates,
                self.count,
                tried,
                backup,
                self.by,
                now,
                self.now_ms() if self.inflight else -1,
            )
        return choose(self.candidates, self.count, tried, backup, ANY_SERVER, now)

    cdef int lighter(
        self, int first, int second, unsigned char *tried, int32_t now
    ) noexcept nogil:
        """The less loaded of two peers, `second` when they are equal; -1 unless both are live."""
        cdef Candidate *candidates = self.candidates
        if not (
            eligible(candidates, first, tried, now) and eligible(candidates, second, tried, now)
        ):
            return -1
        return first if compare_load(&candidates[second], &candidates[first]) > 0 else second

    cdef int quicker(
        self, int first, int second, unsigned char *tried, int32_t now
    ) noexcept nogil:
        """As `lighter`, by the time that each of the two will take."""
        cdef Candidate *candidates = self.candidates
        if not (
            eligible(candidates, first, tried, now) and eligible(candidates, second, tried, now)
        ):
            return -1
        candidates[first].expected = expected(&candidates[first], self.by, now)
        candidates[second].expected = expected(&candidates[second], self.by, now)
        return first if compare_expected(&candidates[second], &candidates[first]) > 0 else second

    cdef void reserve(self, int chosen, bint locked, int32_t now) noexcept nogil:
        """Write down a choice: what it moves of all peers, one more connection."""
        cdef Map *board = &self.board.map
        cdef Candidate *candidate = &self.candidates[chosen]
        cdef Row *row = candidate.row
        cdef State state = row.state
        cdef int index, chain = -1
        state.selected += 1
        state.conns += 1
        if candidate.moved:
            state.effective_weight = candidate.next_effective_weight
        if not self.single and now - state.checked > candidate.fail_timeout:
            state.checked = now
        if not locked:
            add_u64(&row.state.selected, 1)
            row.state.checked = state.checked
            count_unlocked(board, self.upstream, candidate.index, self.worker, 1)
        for index in range(self.count):
            if not moves(&self.candidates[index]):
                continue
            row = self.candidates[index].row
            note_next(&self.candidates[index])
            if locked:
                row.next_row = chain
                chain = self.candidates[index].index
            else:
                put_next(row)
        if locked:
            commit(
                board,
                upstream_at(board, self.upstream),
                chain,
                candidate.index,
                &state,
                self.worker,
                candidate.gauge[0] + 1,
            )

    def note_failure(self, int index, int why, long at):
        cdef Candidate *candidate = self.candidate_at(index)
        candidate.row.failed_why = why
        candidate.row.failed_at = at

    def release(self, int index, *, bint failed):
        return bool(self.end(index, FAILED if failed else SERVED))

    def cancel(self, int index):
        self.end(index, UNASKED)

    cdef int end(self, int index, Outcome outcome) except -1:
        cdef Candidate *candidate = self.candidate_at(index)
        if read_i32(candidate.gauge) <= 0:
            raise ValueError(f"peer {index} was released more often than picked")
        cdef int32_t now = self.now()
        cdef bint locked = enter(&self.board.map, self.upstream, PATIENCE_MS)
        cdef bint out = self.give_back(candidate, outcome, locked, now)
        if locked:
            leave(&self.board.map, self.upstream)
        else:
            self.unlocked += 1
        return out

    cdef bint give_back(
        self, Candidate *candidate, Outcome outcome, bint locked, int32_t now
    ) noexcept nogil:
        """One connection less; True when this failure takes the peer out of service."""
        cdef Map *board = &self.board.map
        cdef State state = candidate.row.state
        cdef bint out = False
        state.conns -= 1
        if outcome == FAILED:
            state.total_fails += 1
            if not self.single:
                out = count_failure(candidate, &state, now)
        elif outcome == SERVED and not self.single and state.accessed < state.checked:
            forgive(candidate, &state, self.clock)
        if locked:
            self.write(candidate, &state, candidate.gauge[0] - 1)
            return out
        candidate.row.state.back = state.back
        candidate.row.state.fails = state.fails
        candidate.row.state.total_fails = state.total_fails
        candidate.row.state.accessed = state.accessed
        candidate.row.state.checked = state.checked
        candidate.row.state.effective_weight = state.effective_weight
        count_unlocked(board, self.upstream, candidate.index, self.worker, -1)
        return out

    def note_times(self, int index, *, long connect, long first_byte, long last_byte):
        cdef Candidate *candidate = self.candidate_at(index)
        cdef long[METRICS] times = [connect, first_byte, last_byte]
        cdef bint locked = enter(&self.board.map, self.upstream, PATIENCE_MS)
        cdef State state = candidate.row.state
        cdef int by
        for by in range(METRICS):
            if times[by] >= 0:
                state.times[by] = averaged(state.times[by], times[by])
        if locked:
            self.write(candidate, &state, candidate.gauge[0])
            leave(&self.board.map, self.upstream)
            return
        candidate.row.state.times = state.times
        self.unlocked += 1

    def land(self, int index, long long took_off):
        cdef Candidate *candidate = self.candidate_at(index)
        if not land(&self.board.map, self.worker, candidate.index, took_off):
            raise ValueError(f"nobody is under way to peer {index}")

    cdef void write(self, Candidate *candidate, State *state, int gauge) noexcept nogil:
        """Make `state` and `gauge` those of a peer, as one."""
        cdef Map *board = &self.board.map
        cdef UpstreamSlot *slot = upstream_at(board, self.upstream)
        commit(board, slot, -1, candidate.index, state, self.worker, gauge)

    def connected(self, int index):
        cdef Candidate *candidate = self.candidate_at(index)
        cdef bint locked = enter(&self.board.map, self.upstream, PATIENCE_MS)
        cdef State state = candidate.row.state
        if not self.single and state.accessed < state.checked:
            forgive(candidate, &state, self.clock)
            if locked:
                self.write(candidate, &state, candidate.gauge[0])
            else:
                candidate.row.state.back = state.back
                candidate.row.state.fails = state.fails
        if locked:
            leave(&self.board.map, self.upstream)
        else:
            self.unlocked += 1

    def failing(self, int index):
        return read_i32(&self.candidate_at(index).row.state.fails) > 0

    def closed_early(self, int index):
        return add_i32(&self.candidate_at(index).row.early_closes, 1)

    def answered(self, int index):
        cdef int32_t *early_closes = &self.candidate_at(index).row.early_closes
        if read_i32(early_closes):
            write_i32(early_closes, 0)


cdef bint count_failure(Candidate *candidate, State *state, int32_t now) noexcept nogil:
    """nginx's NGX_PEER_FAILED; True when the failures have just become `max_fails`."""
    if state.fails < INT_MAX:
        state.fails += 1
    state.accessed = now
    state.checked = now
    if candidate.max_fails == 0:
        return False
    state.effective_weight -= candidate.weight // candidate.max_fails
    if state.effective_weight < 0:
        state.effective_weight = 0
    return state.fails == candidate.max_fails
