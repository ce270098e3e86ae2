"""A mutex between processes that survives the death of its holder, and a few atomic operations.

`acquire` never waits longer than it is told. The kernel hands the mutex of a dead process to the
next who asks for it (EOWNERDEAD); that one mends what the mutex protects and says `mended`.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <pthread.h>
    #include <stdint.h>
    #include <time.h>

    enum { TG_HELD, TG_INHERITED, TG_NOT_GOT, TG_BROKEN };

    static inline int tg_outcome(int error)
    {
        switch (error) {
        case 0: return TG_HELD;
        case EOWNERDEAD: return TG_INHERITED;
        case ENOTRECOVERABLE: return TG_BROKEN;
        default: return TG_NOT_GOT;
        }
    }

    static inline int tg_acquire(pthread_mutex_t *mutex, int ms)
    {
        struct timespec until;
        int error = pthread_mutex_trylock(mutex);
        if (error != EBUSY || ms == 0) return tg_outcome(error);
    #if defined(__GLIBC__) && __GLIBC_PREREQ(2, 30)
        clockid_t clock = CLOCK_MONOTONIC;
    #else
        clockid_t clock = CLOCK_REALTIME;  /* all that pthread_mutex_timedlock knows */
    #endif
        clock_gettime(clock, &until);
        until.tv_nsec += ms * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
    #if defined(__GLIBC__) && __GLIBC_PREREQ(2, 30)
        return tg_outcome(pthread_mutex_clocklock(mutex, clock, &until));
    #else
        return tg_outcome(pthread_mutex_timedlock(mutex, &until));
    #endif
    }

    static inline int tg_make_mutex(pthread_mutex_t *mutex)
    {
        pthread_mutexattr_t attributes;
        int error = pthread_mutexattr_init(&attributes);
        if (error) return error;
        error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        if (!error) error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        if (!error) error = pthread_mutex_init(mutex, &attributes);
        pthread_mutexattr_destroy(&attributes);
        return error;
    }

    static inline int32_t tg_seconds(void)
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        return (int32_t) now.tv_sec;
    }

    /* A process that dies has done its stores in program order; only the compiler may swap them. */
    #define tg_in_order() __atomic_signal_fence(__ATOMIC_SEQ_CST)
    #define tg_add_i32(place, n) __atomic_add_fetch((int32_t *) (place), (n), __ATOMIC_RELAXED)
    #define tg_add_u32(place, n) __atomic_add_fetch((uint32_t *) (place), (n), __ATOMIC_RELAXED)
    #define tg_add_u64(place, n) __atomic_add_fetch((uint64_t *) (place), (n), __ATOMIC_RELAXED)
    #define tg_read_i32(place) __atomic_load_n((int32_t *) (place), __ATOMIC_RELAXED)
    #define tg_read_u32(place) __atomic_load_n((uint32_t *) (place), __ATOMIC_ACQUIRE)
    #define tg_write_i32(place, n) __atomic_store_n((int32_t *) (place), (n), __ATOMIC_RELAXED)
    #define tg_write_u32(place, n) __atomic_store_n((uint32_t *) (place), (n), __ATOMIC_RELEASE)
    #define tg_swap_u32(place, n) __atomic_exchange_n((uint32_t *) (place), (n), __ATOMIC_ACQ_REL)

    static inline void tg_raise_u32(uint32_t *place, uint32_t least)
    {
        uint32_t seen = __atomic_load_n(place, __ATOMIC_RELAXED);
        while (seen < least
               && !__atomic_compare_exchange_n(place, &seen, least, 0,
                                               __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {}
    }
    """
    ctypedef struct pthread_mutex_t:
        pass

    enum:
        HELD "TG_HELD"
        INHERITED "TG_INHERITED"  # from a dead process; what it protects needs mending
        NOT_GOT "TG_NOT_GOT"  # not within the time
        BROKEN "TG_BROKEN"  # an heir gave it back unmended: nobody will ever get it again

    int acquire "tg_acquire" (pthread_mutex_t *mutex, int ms)
    int mended "pthread_mutex_consistent" (pthread_mutex_t *mutex)
    int let_go "pthread_mutex_unlock" (pthread_mutex_t *mutex)
    int make_mutex "tg_make_mutex" (pthread_mutex_t *mutex)

    int32_t seconds "tg_seconds" ()
    void in_order "tg_in_order" ()
    int32_t add_i32 "tg_add_i32" (int32_t *place, int32_t n)
    uint32_t add_u32 "tg_add_u32" (uint32_t *place, uint32_t n)
    uint64_t add_u64 "tg_add_u64" (uint64_t *place, uint64_t n)
    int32_t read_i32 "tg_read_i32" (int32_t *place)
    uint32_t read_u32 "tg_read_u32" (uint32_t *place)
    void write_i32 "tg_write_i32" (int32_t *place, int32_t n)
    void write_u32 "tg_write_u32" (uint32_t *place, uint32_t n)
    uint32_t swap_u32 "tg_swap_u32" (uint32_t *place, uint32_t n)
    void raise_to "tg_raise_u32" (uint32_t *place, uint32_t least)
