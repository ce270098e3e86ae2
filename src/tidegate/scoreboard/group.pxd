"""The groups' C side."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from tidegate.scoreboard.board cimport Board
from tidegate.scoreboard.candidate cimport Candidate
from tidegate.scoreboard.layout cimport State


cdef enum Way:
    # How a peer is chosen; the first three go over to the backups where no primary is left.
    ROUND_ROBIN = 0
    LEAST_CONN
    LEAST_TIME
    OF_SERVER
    THIS_ONE
    LIGHTER
    QUICKER


cdef enum Outcome:
    SERVED = 0
    FAILED
    UNASKED  # given back before the peer was asked, for a fault of ours


cdef class Slot:
    cdef readonly int row
    cdef readonly int server
    cdef readonly int weight
    cdef readonly int max_conns
    cdef readonly int max_fails
    cdef readonly int fail_timeout
    cdef readonly int slow_start
    cdef readonly bint down
    cdef readonly bint backup


cdef class Group:
    cdef Board board
    cdef int upstream
    cdef int worker
    cdef int count
    cdef bint single
    cdef bint has_backup
    cdef bint slows  # some peer has `slow_start`
    cdef bint slow  # it runs for one of them now
    cdef uint64_t shape
    cdef Candidate *candidates
    cdef readonly unsigned long unlocked
    cdef public int clock
    cdef public long long clock_ms
    cdef readonly long long took_off
    cdef int by  # of a choice by time
    cdef bint inflight

    cdef int add(self, Slot slot) except -1
    cpdef void begin(self) noexcept
    cdef int32_t now(self) noexcept nogil
    cdef Candidate *candidate_at(self, int index) except NULL
    cdef unsigned char *marks(self, bytearray tried) except? NULL
    cdef int pick(self, Way way, int one, int other, bytearray tried) except -2
    cdef int decide(
        self, Way way, int one, int other, unsigned char *tried, int32_t now
    ) noexcept nogil
    cdef int turn(self, Way way, unsigned char *tried, int32_t now) noexcept nogil
    cdef int turn_among(
        self, Way way, bint backup, unsigned char *tried, int32_t now
    ) noexcept nogil
    cdef int64_t now_ms(self) noexcept nogil
    cdef int quicker(
        self, int first, int second, unsigned char *tried, int32_t now
    ) noexcept nogil
    cdef int among(
        self, Way way, bint backup, unsigned char *tried, int32_t now
    ) noexcept nogil
    cdef int lighter(
        self, int first, int second, unsigned char *tried, int32_t now
    ) noexcept nogil
    cdef void reserve(self, int chosen, bint locked, int32_t now) noexcept nogil
    cdef int end(self, int index, Outcome outcome) except -1
    cdef void write(self, Candidate *candidate, State *state, int gauge) noexcept nogil
    cdef bint give_back(
        self, Candidate *candidate, Outcome outcome, bint locked, int32_t now
    ) noexcept nogil
