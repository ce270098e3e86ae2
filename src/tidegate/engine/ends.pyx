"""The two sides of a session: what epoll is told of them, how they are left and closed.

Everything that a session does comes back here when it cannot go on: the functions that may fail
end in `finish`. Nothing here holds the GIL or calls Python; what needs a decision is put into the
queue with `call`.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free

from tidegate.engine.linux cimport (
    EPOLLIN,
    EPOLLOUT,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    SHUT_WR,
    SIOCINQ,
    SIOCOUTQ,
    close,
    epoll_ctl,
    epoll_event,
    ioctl,
    recv,
    shutdown,
    ssize_t,
)
from tidegate.engine.timers cimport timers_drop, timers_set
from tidegate.engine.tls cimport (
    SHAKE_ASKS,
    SHAKE_GREETED,
    SHAKE_DONE,
    SHAKE_FAILED,
    SHAKE_READ,
    Shake,
    drop_tls,
    run_again,
    tls_free,
    tls_goodbye,
    tls_shake,
    tls_stands,
)
from tidegate.engine.types cimport (
    CALL_END,
    CLIENT,
    ENDED,
    FAILED,
    LINGER,
    LINGER_MS,
    RELAY_BUFFER,
    TAG_CLIENT,
    UPSTREAM,
    Call,
    Core,
    End,
    Reason,
    Session,
)
from tidegate.engine.websocket cimport say_close


cdef void occupy(Core *core, int places) noexcept nogil:
    """Count connections, as worker_connections does; negative gives places back."""
    core.used += places
    core.counters.connections = core.used


cdef void call(Core *core, Session *s, Call bit) noexcept nogil:
    """Ask for Python; several wishes of one session are served in one visit."""
    s.calls |= bit
    if s.queued:
        return
    s.queued = True
    s.next = NULL
    if core.queue_tail is NULL:
        core.queue_head = s
    else:
        core.queue_tail.next = s
    core.queue_tail = s


cdef void arm(Core *core, Session *s, int64_t at) noexcept nogil:
    """See that `on_deadline` runs no later than `at`; an earlier deadline stays."""
    if s.timer >= 0 and core.timers.heap[s.timer].at <= at:
        return
    if not timers_set(&core.timers, s, at):
        finish(core, s, FAILED, False)


cdef void wait_for_request(Core *core, Session *s) noexcept nogil:
    """The client owes us the first byte of a request."""
    if not s.waiting:
        s.waiting = True
        core.counters.waiting += 1


cdef void wait_no_longer(Core *core, Session *s) noexcept nogil:
    if s.waiting:
        s.waiting = False
        core.counters.waiting -= 1


cdef void want(Core *core, Session *s, int side, uint32_t events) noexcept nogil:
    """Tell epoll which events of this side matter; none takes it out, for HUP cannot be masked."""
    cdef End *end = &s.ends[side]
    cdef epoll_event event
    cdef int op
    if end.more and events & EPOLLIN:
        run_again(core, s, side)
    if end.events == events or end.fd < 0:
        return
    if events == 0:
        op = EPOLL_CTL_DEL
    elif end.events == 0:
        op = EPOLL_CTL_ADD
    else:
        op = EPOLL_CTL_MOD
    event.events = events
    event.data.u64 = <uint64_t>s | <uint64_t>(TAG_CLIENT + side)
    end.events = events
    if (
        epoll_ctl(core.handshakes if end.shaking else core.epoll, op, end.fd, &event) != 0
        and events
    ):
        end.events = 0
        finish(core, s, FAILED, False)


cdef void calm(Core *core, Session *s, int side) noexcept nogil:
    """Its handshake is over, well or not: back to the first epoll descriptor."""
    want(core, s, side, 0)
    s.ends[side].shaking = False


cdef Shake shake(Core *core, Session *s, int side) noexcept nogil:
    """One step of a side's handshake, and what epoll has to tell for the next."""
    cdef Shake step = tls_shake(s, side)
    if step == SHAKE_DONE or step == SHAKE_FAILED:
        calm(core, s, side)
    elif step == SHAKE_ASKS or step == SHAKE_GREETED:
        want(core, s, side, 0)
    else:
        want(core, s, side, EPOLLIN if step == SHAKE_READ else EPOLLOUT)
    return step


# --- the end ---


cdef void close_end(Core *core, End *end) noexcept nogil:
    """Close a side for good; its place among the connections is free."""
    if end.fd < 0:
        return
    close(end.fd)
    end.fd = -1
    end.events = 0
    occupy(core, -1)


cdef void leave_upstream(Core *core, Session *s) noexcept nogil:
    """Be as if this node had never been asked, but for how it went: the logs ask for that."""
    cdef End *end = &s.ends[UPSTREAM]
    if end.fd >= 0:
        close(end.fd)
        end.fd = -1
        end.events = 0
    tls_free(end)
    drop_tls(s.tls)
    s.tls = NULL
    end.shaking = False
    free(end.pending)
    free(s.first)
    free(s.rest)
    free(s.answer)
    s.first = s.rest = s.answer = end.pending = NULL
    end.ended = end.broken = end.shut = False
    s.reasoned = False


cdef bint must_linger(End *end) noexcept nogil:
    """Whether closing now would make the kernel reset the connection, or might."""
    cdef int waiting = 0
    if end.ended or end.broken:
        return False
    if tls_stands(end):
        # It answers our goodbye with its own.
        return True
    if ioctl(end.fd, SIOCINQ, &waiting) == 0 and waiting > 0:
        return True
    return ioctl(end.fd, SIOCOUTQ, &waiting) == 0 and waiting > 0


cdef void finish(Core *core, Session *s, Reason reason, bint linger) noexcept nogil:
    """The session is over: close its sides, politely where `linger`, and tell Python."""
    cdef int side
    cdef End *end
    if s.state == LINGER or s.state == ENDED:
        return
    s.state = ENDED
    s.reason = reason
    s.ended = core.now
    core.counters.active -= 1
    wait_no_longer(core, s)
    for side in range(2):
        end = &s.ends[side]
        if side == CLIENT and s.exchange is not NULL and end.fd >= 0:
            say_close(s)
        free(end.pending)
        end.pending = NULL
        if end.fd < 0:
            # The place that was kept for an upstream.
            occupy(core, -1)
            continue
        if end.shaking:
            calm(core, s, side)
        if linger:
            tls_goodbye(end)
        if linger and must_linger(end):
            if not end.shut:
                shutdown(end.fd, SHUT_WR)
            want(core, s, side, EPOLLIN)
            s.state = LINGER
        else:
            close_end(core, end)
    free(s.first)
    free(s.rest)
    free(s.answer)
    free(s.preread)
    s.first = s.rest = s.answer = s.preread = NULL
    drop_tls(s.tls)
    s.tls = NULL
    timers_drop(&core.timers, s)
    if s.state == LINGER:
        s.until = core.now + LINGER_MS
        if not timers_set(&core.timers, s, s.until):
            linger_over(core, s)
    call(core, s, CALL_END)


cdef void linger_over(Core *core, Session *s) noexcept nogil:
    close_end(core, &s.ends[CLIENT])
    close_end(core, &s.ends[UPSTREAM])
    timers_drop(&core.timers, s)
    s.state = ENDED
    bury(core, s)


cdef void linger_read(Core *core, Session *s, int side) noexcept nogil:
    """Throw away what still comes, until the other has said its end too."""
    cdef ssize_t n = recv(s.ends[side].fd, core.buffer, RELAY_BUFFER, 0)
    if n > 0 or (n < 0 and (errno == EAGAIN or errno == EINTR)):
        return
    close_end(core, &s.ends[side])
    if s.ends[1 - side].fd < 0:
        linger_over(core, s)


cdef void bury(Core *core, Session *s) noexcept nogil:
    """Free the session after this turn's last event, once nobody wants it any more."""
    if s.dead or s.state != ENDED or s.queued or s.run:
        return
    if s.owner is not NULL or s.listener is not NULL:
        return
    s.dead = True
    s.next = core.graveyard
    core.graveyard = s
