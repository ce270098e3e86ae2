"""A robust mutex that is made anew when nobody could ever have it again."""

from libc.stdint cimport uint32_t

from tidegate.scoreboard.mutex cimport (
    BROKEN,
    NOT_GOT,
    acquire,
    make_mutex,
    pthread_mutex_t,
    read_u32,
    swap_u32,
    write_u32,
)

cdef struct Lock:
    pthread_mutex_t mutex
    uint32_t repairing  # 1 while somebody makes the mutex anew
    uint32_t made  # how often that was done


cdef inline int take_lock(Lock *lock, int patience_ms) noexcept nogil:
    """HELD, INHERITED (then it is to be `mended`), or NOT_GOT within the time."""
    cdef uint32_t made = read_u32(&lock.made)
    cdef int outcome = acquire(&lock.mutex, patience_ms)
    if outcome != BROKEN:
        return outcome
    if swap_u32(&lock.repairing, 1):
        return NOT_GOT
    # Trying the mutex would not tell: glibc's trylock leaves a broken one locked.
    if lock.made == made:
        make_mutex(&lock.mutex)
        write_u32(&lock.made, made + 1)
    outcome = acquire(&lock.mutex, 0)
    write_u32(&lock.repairing, 0)
    return NOT_GOT if outcome == BROKEN else outcome
