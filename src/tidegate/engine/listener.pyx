"""Accepting: the first phase of a session, and when not to."""

from cpython.ref cimport Py_DECREF
from libc.errno cimport (
    ECONNABORTED,
    EINTR,
    EMFILE,
    ENFILE,
    ENOBUFS,
    ENOMEM,
    EPERM,
    EPROTO,
    errno,
)
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from tidegate.engine.ends cimport occupy
from tidegate.engine.linux cimport (
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLLEXCLUSIVE,
    EPOLLIN,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    accept4,
    epoll_ctl,
    epoll_event,
    sockaddr,
    sockaddr_in6,
    socklen_t,
    take_number,
)
from tidegate.engine.session cimport arrive
from tidegate.engine.slab cimport slab_keep_room, slab_take
from tidegate.engine.timers cimport timers_keep_room
from tidegate.engine.tls cimport drop_tls
from tidegate.engine.types cimport (
    ACCEPT_PAUSE_MS,
    ACCEPTS,
    CLIENT,
    TAG_LISTENER,
    UPSTREAM,
    Core,
    Listener,
    Session,
)


# A bound, should clients come faster than they are taken.
cdef enum:
    MOST_IN_QUEUE = 65536


cdef bint watch_listener(Core *core, Listener *listener) noexcept nogil:
    cdef epoll_event event
    if listener.registered:
        return True
    event.events = EPOLLIN
    if listener.shared:
        event.events |= EPOLLEXCLUSIVE
    event.data.u64 = <uint64_t>listener | <uint64_t>TAG_LISTENER
    listener.registered = epoll_ctl(core.epoll, EPOLL_CTL_ADD, listener.fd, &event) == 0
    return listener.registered


cdef void unwatch_listener(Core *core, Listener *listener) noexcept nogil:
    if listener.registered:
        epoll_ctl(core.epoll, EPOLL_CTL_DEL, listener.fd, NULL)
        listener.registered = False


cdef void pause_accepting(Core *core, int error) noexcept nogil:
    """Leave the clients in the kernel's queue, or to another worker, until there is room."""
    cdef Listener *listener = core.listeners
    if not core.accepting:
        return
    while listener is not NULL:
        unwatch_listener(core, listener)
        listener = listener.next
    core.accepting = False
    core.accept_error = error
    core.accept_at = core.now + ACCEPT_PAUSE_MS if error else 0
    core.pauses += 1


cdef void pause_if_full(Core *core) noexcept nogil:
    """Leave the line at once: a wake-up that a full worker takes is lost for the others."""
    if core.used + 2 > core.limit:
        pause_accepting(core, 0)


cdef void resume_accepting(Core *core) noexcept nogil:
    """Called before each sleep while accepting pauses."""
    cdef Listener *listener = core.listeners
    if core.now < core.accept_at:
        return
    core.accept_at = 0
    if core.used + 2 > core.limit:
        return
    core.accepting = True
    while listener is not NULL:
        if not listener.removed:
            watch_listener(core, listener)
        listener = listener.next


cdef void begin_session(
    Core *core, Listener *listener, Session *s, int fd, sockaddr_in6 *address, socklen_t size
) noexcept nogil:
    s.ends[CLIENT].fd = fd
    s.ends[UPSTREAM].fd = -1
    s.timer = -1
    s.connect_ms = s.first_byte_ms = -1
    s.started = s.active = core.now
    s.number = take_number(core.serial)
    s.listener = listener
    s.idle_counts = listener.idle_counts
    s.preread_size = listener.preread_size
    s.preread_ms = listener.preread_timeout_ms
    s.address_size = size if size < sizeof(sockaddr_in6) else <uint32_t>sizeof(sockaddr_in6)
    memcpy(&s.address, address, s.address_size)
    listener.waiting += 1
    # The upstream's place is kept from the start: a client is not let in to be sent away.
    occupy(core, 2)
    core.counters.active += 1
    core.counters.accepted += 1
    core.counters.handled += 1
    if listener.tls is not NULL:
        s.tls = listener.tls
        s.tls.refs += 1
    arrive(core, s, listener.header_timeout_ms, listener.asks_accept)


cdef bint accept_one(Core *core, Listener *listener) noexcept nogil:
    """Take the next client; False when there is none, or when accepting has to pause."""
    cdef sockaddr_in6 address
    cdef socklen_t size = sizeof(address)
    cdef int fd
    # Whoever is taken out of the kernel's queue is certain of a place and a deadline.
    if not slab_keep_room(&core.slab) or not timers_keep_room(&core.timers, core.slab.used + 1):
        pause_accepting(core, ENOMEM)
        return False
    fd = accept4(listener.fd, <sockaddr *>&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
    if fd < 0:
        if errno == EMFILE or errno == ENFILE or errno == ENOBUFS or errno == ENOMEM:
            pause_accepting(core, errno)
            return False
        return errno == EINTR or errno == ECONNABORTED or errno == EPROTO or errno == EPERM
    begin_session(core, listener, slab_take(&core.slab), fd, &address, size)
    pause_if_full(core)
    return core.accepting


cdef void accept_from(Core *core, Listener *listener) noexcept nogil:
    """Take some of what waits, ACCEPTS at most, then go to the end of the line of workers."""
    cdef uint32_t _accept
    if listener.removed or not core.accepting:
        return
    # Most often one is all, and asking on would cost a call that says so. Where more come turn
    # after turn, more are taken.
    if core.turn - listener.turn != 1:
        listener.quota = 1
    elif listener.quota < ACCEPTS:
        listener.quota *= 2
    listener.turn = core.turn
    for _accept in range(listener.quota):
        if not accept_one(core, listener):
            break
    if listener.shared and core.accepting:
        # The kernel wakes the first in the list; whoever has just been served goes to its end.
        unwatch_listener(core, listener)
        watch_listener(core, listener)


cdef void empty_queue(Core *core, Listener *listener) noexcept nogil:
    """Take all that waits, as far as there is room.

    Who is to close a listening socket would reset them; who only leaves the line of workers may
    have been woken for a client that no other is then woken for.
    """
    cdef uint32_t _accept
    if not core.accepting:
        return
    for _accept in range(<uint32_t>MOST_IN_QUEUE):
        if not accept_one(core, listener):
            return


cdef leave_listener(Core *core, Session *s):
    """The session needs its listener no more: who it is for is known."""
    cdef Listener *listener = s.listener
    if listener is NULL:
        return
    s.listener = NULL
    listener.waiting -= 1
    if listener.removed:
        free_listener(core, listener)


cdef free_listener(Core *core, Listener *listener):
    """Let go of a listener that was removed, once no session waits for its owner."""
    cdef Listener **link = &core.listeners
    if listener.waiting:
        return
    while link[0] is not listener:
        link = &link[0].next
    link[0] = listener.next
    Py_DECREF(<object>listener.factory)
    drop_tls(listener.tls)
    free(listener)
