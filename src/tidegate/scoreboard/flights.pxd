"""Sessions under way: they have a peer, and not yet what `least_time … inflight` waits for.

Each worker has a cell per peer which it alone writes, so nothing has to be mended after it died:
its cells are zeroed with its gauges. A cell is two words, how many and the sum of the times at
which they began, both in milliseconds of CLOCK_MONOTONIC. They are written in an order by which a
cell that is seen, or was left, half-way tells of younger sessions, never of older ones.
"""

from libc.stdint cimport int32_t, int64_t

from tidegate.scoreboard.layout cimport Flights, Map, flights_at
from tidegate.scoreboard.mutex cimport in_order, read_i32, read_u32, write_i32

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <time.h>

    static inline int64_t tg_milliseconds(void)
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
    }

    #define tg_read_i64(place) __atomic_load_n((int64_t *) (place), __ATOMIC_ACQUIRE)
    #define tg_write_i64(place, n) __atomic_store_n((int64_t *) (place), (n), __ATOMIC_RELEASE)
    """
    int64_t milliseconds "tg_milliseconds" ()
    int64_t read_i64 "tg_read_i64" (int64_t *place)
    void write_i64 "tg_write_i64" (int64_t *place, int64_t n)


cdef inline void take_off(Map *board, int worker, int row, int64_t now) noexcept nogil:
    """One more, chosen just now; under the mutex, as others add up what they see."""
    cdef Flights *flights = flights_at(board, worker, row)
    board.rows[row].flies = 1
    write_i64(&flights.began, flights.began + now)
    in_order()
    write_i32(&flights.count, flights.count + 1)


cdef inline bint land(Map *board, int worker, int row, int64_t began) noexcept nogil:
    """One that took off at `began` is over; False where none is under way. Without the mutex."""
    cdef Flights *flights = flights_at(board, worker, row)
    if flights.count <= 0:
        return False
    write_i32(&flights.count, flights.count - 1)
    write_i64(&flights.began, flights.began - began)
    return True


cdef inline void forget_flights(Map *board, int worker, int row) noexcept nogil:
    """What a dead worker had; where nobody ever flew no page comes into being."""
    cdef Flights *flights
    if board.rows[row].flies:
        flights = flights_at(board, worker, row)
        write_i32(&flights.count, 0)
        write_i64(&flights.began, 0)


cdef inline int64_t count_flights(Map *board, int row, int64_t *began) noexcept nogil:
    """How many are under way to a peer from all workers; `began` becomes the sum of their times."""
    cdef int64_t count = 0
    cdef Flights *flights
    cdef int worker
    began[0] = 0
    if not board.rows[row].flies:
        return 0
    for worker in range(<int> read_u32(&board.header.workers_used)):
        flights = flights_at(board, worker, row)
        # In this order: who lands meanwhile is then counted with a time too young, if at all.
        began[0] += read_i64(&flights.began)
        count += read_i32(&flights.count)
    return count
