"""The turn: what happens between two calls of Python, all of it without Python."""

from libc.errno cimport errno
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free

from tidegate.engine.ends cimport bury
from tidegate.engine.exchange cimport drop_exchange
from tidegate.engine.linux cimport (
    CLOCK_MONOTONIC,
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLLIN,
    clock_gettime,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    epoll_wait,
    timespec,
)
from tidegate.engine.listener cimport accept_from, resume_accepting
from tidegate.engine.outcome cimport drop_terms
from tidegate.engine.relay cimport due, on_relay
from tidegate.engine.session cimport on_deadline, on_event
from tidegate.engine.slab cimport slab_give
from tidegate.engine.timers cimport timers_drop, timers_set
from tidegate.engine.tls cimport drop_tls, tls_free
from tidegate.engine.types cimport (
    BATCHES,
    CLIENT,
    EVENTS,
    GATHERING,
    HANDSHAKES_NS,
    RELAY,
    TAG_CLIENT,
    TAG_HANDSHAKES,
    TAG_LISTENER,
    TAG_MASK,
    UPSTREAM,
    Core,
    Listener,
    Session,
)


cdef void read_clock(Core *core) noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    core.now = <int64_t>now.tv_sec * 1000 + now.tv_nsec // 1000000


cdef use_tls(Core *core):
    """Make the epoll descriptor of handshakes, once somebody needs it."""
    cdef epoll_event event
    if core.handshakes >= 0:
        return
    core.handshakes = epoll_create1(EPOLL_CLOEXEC)
    if core.handshakes < 0:
        raise OSError(errno, "epoll_create1() failed")
    event.events = EPOLLIN
    event.data.u64 = <uint64_t>TAG_HANDSHAKES
    if epoll_ctl(core.epoll, EPOLL_CTL_ADD, core.handshakes, &event) != 0:
        raise OSError(errno, "epoll_ctl() failed")


cdef inline int64_t read_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef void run_timers(Core *core) noexcept nogil:
    cdef Session *s
    cdef int64_t at
    while core.timers.count and core.timers.heap[0].at <= core.now:
        s = core.timers.heap[0].session
        at = due(s)
        if at > core.now and at != INT64_MAX:
            timers_set(&core.timers, s, at)
            continue
        timers_drop(&core.timers, s)
        if at != INT64_MAX:
            on_deadline(core, s)


cdef void empty_graveyard(Core *core) noexcept nogil:
    cdef Session *s
    while core.graveyard is not NULL:
        s = core.graveyard
        core.graveyard = s.next
        drop_terms(s.terms)
        tls_free(&s.ends[CLIENT])
        tls_free(&s.ends[UPSTREAM])
        drop_tls(s.tls)
        drop_exchange(s)
        free(s.fault)
        slab_give(&core.slab, s)


cdef void run_list(Core *core) noexcept nogil:
    """Read once from each side whose TLS holds bytes that epoll does not know of."""
    cdef Session *s = core.running
    cdef Session *after
    cdef uint8_t sides
    cdef int side
    core.running = NULL
    while s is not NULL:
        after = s.run_next
        sides = s.run
        s.run = 0
        for side in range(2):
            if sides >> side & 1 and s.ends[side].more and s.ends[side].events & EPOLLIN:
                on_side(core, s, side, EPOLLIN)
        bury(core, s)
        s = after


cdef bint shake_hands(Core *core) noexcept nogil:
    """Steps of handshakes, one after the other; True when some may be left for the next turn."""
    cdef epoll_event event
    cdef int64_t end = read_ns() + HANDSHAKES_NS
    while epoll_wait(core.handshakes, &event, 1, 0) == 1:
        on_session(core, &event)
        if read_ns() >= end:
            return True
    return False


cdef inline void on_session(Core *core, epoll_event *event) noexcept nogil:
    cdef uint64_t data = event.data.u64
    on_side(
        core,
        <Session *>(data & ~<uint64_t>TAG_MASK),
        <int>(data & TAG_MASK) - TAG_CLIENT,
        event.events,
    )


cdef inline void on_side(Core *core, Session *s, int side, uint32_t events) noexcept nogil:
    if s.state == RELAY:
        on_relay(core, s, side, events)
    else:
        on_event(core, s, side, events)


cdef int wait_ms(Core *core, int64_t deadline) noexcept nogil:
    """How long epoll may sleep: until the caller's deadline or our next one."""
    if core.timers.count and core.timers.heap[0].at < deadline:
        deadline = core.timers.heap[0].at
    if not core.accepting and core.accept_at and core.accept_at < deadline:
        deadline = core.accept_at
    if deadline == INT64_MAX:
        return -1
    if deadline <= core.now:
        return 0
    return <int>(deadline - core.now) if deadline - core.now < 0x7FFFFFFF else 0x7FFFFFFF


cdef int run(Core *core, epoll_event *events, int64_t deadline) noexcept nogil:
    """Turn until Python is needed or the deadline has come; the number of its events, put first."""
    cdef int _batch, count, i, sleep, ready = 0
    cdef uint64_t data
    cdef bint shaking
    for _batch in range(BATCHES):
        shaking = False
        if not core.accepting:
            resume_accepting(core)
        sleep = wait_ms(core, deadline)
        if core.queue_head is not NULL or core.running is not NULL:
            sleep = 0
        count = epoll_wait(core.epoll, events, EVENTS, sleep)
        read_clock(core)
        core.turn += 1
        if count < 0:
            # EINTR: Python has a signal to look at.
            return 0
        for i in range(count):
            data = events[i].data.u64
            if data & TAG_MASK >= TAG_CLIENT:
                on_session(core, &events[i])
            elif data & TAG_MASK == TAG_LISTENER:
                accept_from(core, <Listener *>(data & ~<uint64_t>TAG_MASK))
            elif data & TAG_MASK == TAG_HANDSHAKES:
                shaking = True
            else:
                events[ready] = events[i]
                ready += 1
        if core.running is not NULL:
            run_list(core)
        if shaking:
            # After all who have nothing but bytes to move.
            shaking = shake_hands(core)
        run_timers(core)
        empty_graveyard(core)
        if ready or core.pauses or core.now >= deadline:
            break
        if core.queue_head is not NULL and not (shaking and _batch < GATHERING):
            break
    return ready
