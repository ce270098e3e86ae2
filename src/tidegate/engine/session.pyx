"""The life of a session from its first byte to its last: accept, ssl, preread, connect, relay, end.

This is the whole path of a message: an event comes in at `on_event`, `relay` reads once and sends
once. Whatever is not the plain case (a slow receiver, a rate, an end) leaves that path for a
function of its own. Nothing here holds the GIL or calls Python; what needs a decision is put into
the queue with `call`.
"""

from libc.errno cimport EAGAIN, EINPROGRESS, EINTR, EPROTO, ETIME, ETIMEDOUT, errno
from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free

from tidegate.engine.linux cimport (
    AF_INET6,
    AF_UNIX,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    EPOLLIN,
    EPOLLOUT,
    EPOLLRDHUP,
    IP_BIND_ADDRESS_NO_PORT,
    IP_TRANSPARENT,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPV6_TRANSPARENT,
    MSG_NOSIGNAL,
    MSG_PEEK,
    SHUT_WR,
    SIOCINQ,
    SIOCOUTQ,
    SO_ERROR,
    SO_KEEPALIVE,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    bind,
    close,
    connect,
    epoll_ctl,
    epoll_event,
    getsockopt,
    ioctl,
    recv,
    send,
    setsockopt,
    shutdown,
    sockaddr,
    socket,
    socklen_t,
    ssize_t,
)
from tidegate.engine.pending cimport append, pending_of
from tidegate.engine.proxy_header cimport TAKEN_ALL, TAKEN_FAILED, Taken, take_header
from tidegate.engine.timers cimport timers_drop, timers_set
from tidegate.engine.tls cimport (
    SHAKE_DONE,
    SHAKE_FAILED,
    SHAKE_READ,
    Shake,
    drop_tls,
    note_fault,
    run_again,
    tls_accept,
    tls_free,
    tls_goodbye,
    tls_read,
    tls_shake,
    tls_stands,
    tls_start,
    tls_write,
)
from tidegate.engine.types cimport (
    ANSWERING,
    CALL_ACCEPT,
    CALL_ANSWER,
    CALL_CONNECTED,
    CALL_END,
    CALL_INSPECT,
    CALL_PICK,
    CALL_PREREAD,
    CLIENT,
    CLIENT_CLOSED,
    CLIENT_ERROR,
    CONNECTING,
    DECIDING,
    ENDED,
    FAILED,
    HANDSHAKE,
    HEADER,
    LINGER,
    LINGER_MS,
    NO_HANDSHAKE,
    PREREAD,
    REFUSED,
    REFUSING,
    RELAY,
    RELAY_BUFFER,
    SECURING,
    TAG_CLIENT,
    TIMED_OUT,
    UPSTREAM,
    UPSTREAM_CLOSED,
    UPSTREAM_ERROR,
    Call,
    Core,
    End,
    Pending,
    Reason,
    Session,
)

cdef enum:
    # nginx's status of a session whose handshake failed.
    INTERNAL_ERROR = 500


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


cdef inline void arm(Core *core, Session *s, int64_t at) noexcept nogil:
    """See that `on_deadline` runs no later than `at`; an earlier deadline stays."""
    if s.timer >= 0 and core.timers.heap[s.timer].at <= at:
        return
    if not timers_set(&core.timers, s, at):
        finish(core, s, FAILED, False)


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


cdef void close_end(Core *core, End *end) noexcept nogil:
    """Close a side for good; its place among the connections is free."""
    if end.fd < 0:
        return
    close(end.fd)
    end.fd = -1
    end.events = 0
    occupy(core, -1)


cdef inline ssize_t pull(
    Core *core, Session *s, int side, char *buffer, size_t size
) noexcept nogil:
    """Read from a side, through its TLS where it has one; as recv."""
    if s.ends[side].ssl is NULL:
        return recv(s.ends[side].fd, buffer, size, 0)
    return tls_read(core, s, side, buffer, size)


cdef inline ssize_t push(Session *s, int side, const char *data, size_t size) noexcept nogil:
    """Write to a side, through its TLS where it has one; as send."""
    if s.ends[side].ssl is NULL:
        return send(s.ends[side].fd, data, size, MSG_NOSIGNAL)
    return tls_write(s, side, data, size)


# --- accept ---


cdef void arrive(Core *core, Session *s) noexcept nogil:
    """The first phase that the listener asks for."""
    if s.listener.header_timeout_ms:
        s.state = HEADER
        s.until = core.now + s.listener.header_timeout_ms
        arm(core, s, s.until)
        if s.state == HEADER:
            want(core, s, CLIENT, EPOLLIN)
    elif s.listener.asks_accept:
        s.state = DECIDING
        call(core, s, CALL_ACCEPT)
    else:
        proceed(core, s)


cdef void proceed(Core *core, Session *s) noexcept nogil:
    """The accept phase is over: the client's TLS, where there is one, or its first bytes."""
    if s.tls is NULL:
        begin(core, s)
        return
    # A handshake is heard elsewhere.
    want(core, s, CLIENT, 0)
    secure(core, s)


cdef void read_header(Core *core, Session *s) noexcept nogil:
    cdef Taken taken = take_header(core, s)
    if taken == TAKEN_FAILED:
        finish(core, s, FAILED, False)
    elif taken == TAKEN_ALL:
        show_header(core, s)


cdef void show_header(Core *core, Session *s) noexcept nogil:
    """Python is to see the header, or what came in its place."""
    s.state = DECIDING
    if s.ends[CLIENT].ended:
        want(core, s, CLIENT, 0)
    call(core, s, CALL_ACCEPT)


cdef void begin(Core *core, Session *s) noexcept nogil:
    """What the client says from here on is for its server: read it, or let Python choose."""
    if s.preread_size:
        preread(core, s, 1, core.now + s.preread_ms)
        return
    s.state = DECIDING
    call(core, s, CALL_PICK)


# --- ssl ---


cdef void secure(Core *core, Session *s) noexcept nogil:
    """Begin with the client's TLS, whose terms are in `s.tls`."""
    s.state = HANDSHAKE
    if not tls_accept(s):
        finish(core, s, FAILED, False)
        return
    s.until = core.now + s.tls.timeout_ms
    arm(core, s, s.until)
    s.ends[CLIENT].shaking = True
    if s.state == HANDSHAKE:
        want(core, s, CLIENT, EPOLLIN)


cdef void secure_upstream(Core *core, Session *s) noexcept nogil:
    """Begin with the upstream's TLS; what goes before it in plain text goes now."""
    cdef uint32_t plain = s.first.start if s.first is not NULL else 0
    if plain and send(s.ends[UPSTREAM].fd, s.first.data, plain, MSG_NOSIGNAL) != <ssize_t>plain:
        # A socket that was just connected takes a few hundred bytes, if anything.
        fail_try(core, s, errno if errno else EAGAIN)
        return
    s.ends[UPSTREAM].sent += plain
    if s.first is not NULL and s.first.start == s.first.end:
        free(s.first)
        s.first = NULL
    want(core, s, UPSTREAM, 0)
    s.state = SECURING
    s.until = core.now + s.tls.timeout_ms
    arm(core, s, s.until)
    s.ends[UPSTREAM].shaking = True
    if s.state != SECURING:
        return
    if tls_start(&s.ends[UPSTREAM]):
        shake(core, s, UPSTREAM)
    else:
        fail_try(core, s, EPROTO)


cdef void calm(Core *core, Session *s, int side) noexcept nogil:
    """Its handshake is over, well or not: back to the first epoll descriptor."""
    want(core, s, side, 0)
    s.ends[side].shaking = False


cdef void shake(Core *core, Session *s, int side) noexcept nogil:
    """One step of a handshake."""
    cdef Shake step = tls_shake(s, side)
    if step != SHAKE_DONE and step != SHAKE_FAILED:
        want(core, s, side, EPOLLIN if step == SHAKE_READ else EPOLLOUT)
        return
    calm(core, s, side)
    if step == SHAKE_DONE:
        drop_tls(s.tls)
        s.tls = NULL
        if side == CLIENT:
            begin(core, s)
        else:
            joined(core, s)
    elif side == CLIENT:
        s.status = INTERNAL_ERROR
        finish(core, s, NO_HANDSHAKE, True)
    else:
        fail_try(core, s, EPROTO)


# --- preread ---


cdef void preread(Core *core, Session *s, uint32_t need, int64_t until) noexcept nogil:
    """Read from the client until `need` bytes are there, or it ends, or `until`."""
    s.state = PREREAD
    s.need = need
    s.until = until
    arm(core, s, until)
    if s.state == PREREAD:
        want(core, s, CLIENT, EPOLLIN)


cdef bint collect(
    Core *core, Session *s, int side, Pending **kept, uint32_t limit
) noexcept nogil:
    """Read into a buffer that grows only as bytes arrive; True when Python should see it."""
    cdef uint32_t have = kept[0].end if kept[0] is not NULL else 0
    cdef uint32_t size = limit - have
    cdef ssize_t n
    if size > RELAY_BUFFER:
        size = RELAY_BUFFER
    n = pull(core, s, side, core.buffer, size)
    if n < 0 and (errno == EAGAIN or errno == EINTR):
        return False
    if n <= 0:
        s.ends[side].ended = True
        if side == UPSTREAM and not s.reasoned:
            s.reasoned = True
            s.reason = UPSTREAM_CLOSED if n == 0 else UPSTREAM_ERROR
        want(core, s, side, 0)
        return True
    if not append(kept, core.buffer, <uint32_t>n):
        finish(core, s, FAILED, False)
        return False
    s.ends[side].received += <uint64_t>n
    return kept[0].end >= s.need or kept[0].end == limit


cdef void read_first(Core *core, Session *s) noexcept nogil:
    if collect(core, s, CLIENT, &s.preread, s.preread_size):
        s.state = DECIDING
        call(core, s, CALL_PREREAD)


# --- connect ---


cdef int bind_local(
    int fd, const sockaddr *local, uint32_t local_size, bint transparent
) noexcept nogil:
    """Give a socket its own address; 0, or the negative errno."""
    cdef int one = 1
    cdef bint v6 = local.sa_family == AF_INET6
    # Without it the port is chosen at bind, and all destinations share one pool of ports.
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one))
    if transparent and setsockopt(
        fd,
        IPPROTO_IPV6 if v6 else IPPROTO_IP,
        IPV6_TRANSPARENT if v6 else IP_TRANSPARENT,
        &one,
        sizeof(one),
    ) != 0:
        return -errno
    return -errno if bind(fd, local, local_size) != 0 else 0


cdef int connect_upstream(
    Core *core,
    Session *s,
    const sockaddr *address,
    uint32_t address_size,
    const sockaddr *local,
    uint32_t local_size,
    bint keepalive,
    bint transparent,
) noexcept nogil:
    """Begin to connect; 0, or the errno of what failed at once, negative for our own bind."""
    cdef End *end = &s.ends[UPSTREAM]
    cdef int one = 1
    cdef int error = 0
    end.received = end.sent = 0
    end.fd = socket(address.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    s.try_started = core.now
    s.connect_ms = -1
    s.first_byte_ms = -1
    if end.fd < 0:
        return errno
    if keepalive:
        setsockopt(end.fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one))
    if address.sa_family != AF_UNIX:
        if s.terms.nodelay:
            setsockopt(end.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        if local_size:
            error = bind_local(end.fd, local, local_size, transparent)
    if error == 0 and connect(end.fd, address, address_size) != 0 and errno != EINPROGRESS:
        error = errno
    if error:
        return error
    s.state = CONNECTING
    arm(core, s, s.until)
    if s.state == CONNECTING:
        want(core, s, UPSTREAM, EPOLLOUT)
    return 0


cdef void fail_try(Core *core, Session *s, int error) noexcept nogil:
    """This node did not answer; Python says who is next."""
    leave_upstream(core, s)
    s.error = error
    if s.connect_ms < 0:
        s.connect_ms = <int>(core.now - s.try_started)
    s.state = DECIDING
    call(core, s, CALL_ANSWER)


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


cdef void established(Core *core, Session *s, uint32_t events) noexcept nogil:
    """The upstream's connect has ended; only ERR and HUP tell that it may not have done so well."""
    cdef int error = 0
    cdef socklen_t size = sizeof(error)
    if events != EPOLLOUT:
        getsockopt(s.ends[UPSTREAM].fd, SOL_SOCKET, SO_ERROR, &error, &size)
        if error:
            fail_try(core, s, error)
            return
    if s.tls is NULL:
        joined(core, s)
    else:
        secure_upstream(core, s)


cdef void joined(Core *core, Session *s) noexcept nogil:
    """The way to the upstream is there: what waits for it may go."""
    s.connect_ms = <int>(core.now - s.try_started)
    if s.notify:
        call(core, s, CALL_CONNECTED)
    s.ends[UPSTREAM].pending = s.first
    s.first = NULL
    if s.answer_size:
        inspect(core, s, 1)
    else:
        begin_relay(core, s)


# --- answer ---


cdef void inspect(Core *core, Session *s, uint32_t need) noexcept nogil:
    """Read the upstream's first bytes until `need` of them are there, or it ends, or it is late."""
    if s.answer is NULL:
        s.until = core.now + s.answer_ms
    s.state = ANSWERING
    s.need = need
    arm(core, s, s.until)
    if s.state != ANSWERING:
        return
    if s.ends[UPSTREAM].pending is not NULL:
        write_to(core, s, UPSTREAM)
    else:
        refresh(core, s, UPSTREAM)
    if s.state == ANSWERING and s.answer is NULL and not s.ends[CLIENT].ended:
        want(core, s, CLIENT, EPOLLIN)


cdef void read_answer(Core *core, Session *s) noexcept nogil:
    if s.first_byte_ms < 0:
        s.first_byte_ms = <int>(core.now - s.try_started)
    if collect(core, s, UPSTREAM, &s.answer, s.answer_size):
        s.state = DECIDING
        call(core, s, CALL_INSPECT)


cdef void accept_answer(Core *core, Session *s) noexcept nogil:
    """The client gets the answer, the upstream what the client sent meanwhile; they are joined."""
    s.ends[CLIENT].pending = s.answer
    s.ends[UPSTREAM].pending = s.rest
    s.answer = s.rest = NULL
    begin_relay(core, s)


# --- relay ---


cdef void begin_relay(Core *core, Session *s) noexcept nogil:
    """From here on bytes pass; those that wait already go first."""
    cdef int side
    s.active = core.now
    s.state = RELAY
    free(s.preread)
    s.preread = NULL
    for side in range(1, -1, -1):
        if s.state == RELAY and s.ends[side].pending is not NULL:
            write_to(core, s, side)
        elif s.state == RELAY:
            refresh(core, s, side)
    if s.state == RELAY:
        arm(core, s, due(s))
    for side in range(2):
        if s.state == RELAY and s.ends[side].ended and s.ends[1 - side].pending is NULL:
            pass_end(core, s, side)


cdef void refresh(Core *core, Session *s, int side) noexcept nogil:
    """Ask epoll for what this side can do now."""
    cdef End *end = &s.ends[side]
    cdef End *other = &s.ends[1 - side]
    cdef uint32_t events = 0
    if s.state == RELAY:
        if (
            not end.ended
            and other.pending is NULL
            and not other.broken
            and end.resume_at == 0
        ):
            events = EPOLLIN
    elif s.state == ANSWERING and not end.ended:
        events = EPOLLIN
    if end.pending is not NULL:
        events |= EPOLLOUT
    want(core, s, side, events)


cdef void relay(Core *core, Session *s, int side) noexcept nogil:
    """The message path: one read from this side, one send to the other."""
    cdef End *source = &s.ends[side]
    cdef End *target = &s.ends[1 - side]
    cdef size_t size = s.terms.buffer_size
    cdef ssize_t n, sent
    if s.terms.rates[side]:
        size = allowance(core, s, side, size)
        if size == 0:
            return
    n = pull(core, s, side, core.buffer, size)
    if n <= 0:
        if n == 0:
            side_ended(core, s, side, CLIENT_CLOSED if side == CLIENT else UPSTREAM_CLOSED)
        elif errno != EAGAIN and errno != EINTR:
            if s.broken_by == 0:
                s.broken_by = errno
            side_ended(core, s, side, CLIENT_ERROR if side == CLIENT else UPSTREAM_ERROR)
        return
    source.received += <uint64_t>n
    if s.idle_ms == 0 or side == CLIENT:
        s.active = core.now
    if s.first_byte_ms < 0 and side == UPSTREAM:
        answered(core, s)
        if s.state != RELAY:
            return
    sent = push(s, 1 - side, core.buffer, <size_t>n)
    if sent == n:
        target.sent += <uint64_t>n
    elif not hold_back(core, s, 1 - side, <uint32_t>n, sent):
        return
    if s.terms.rates[side]:
        pace(core, s, side, <uint64_t>n)


cdef void answered(Core *core, Session *s) noexcept nogil:
    """The upstream's first byte: from here on the client's silence counts."""
    s.first_byte_ms = <int>(core.now - s.try_started)
    if s.idle_ms:
        s.active = core.now
        arm(core, s, due(s))


cdef bint hold_back(Core *core, Session *s, int side, uint32_t size, ssize_t sent) noexcept nogil:
    """Keep what a slow receiver did not take, and stop reading its sender; False at the end."""
    cdef End *end = &s.ends[side]
    if sent < 0:
        if errno != EAGAIN and errno != EINTR:
            write_failed(core, s, side)
            return False
        sent = 0
    end.sent += <uint64_t>sent
    end.pending = pending_of(core.buffer + sent, size - <uint32_t>sent)
    if end.pending is NULL:
        finish(core, s, FAILED, False)
        return False
    refresh(core, s, 1 - side)
    if s.state == RELAY:
        refresh(core, s, side)
    return s.state == RELAY


cdef void write_to(Core *core, Session *s, int side) noexcept nogil:
    """Send what waits for this side; when all is gone its sender is read again."""
    cdef End *end = &s.ends[side]
    cdef Pending *pending = end.pending
    cdef ssize_t n = push(s, side, pending.data + pending.start, pending.end - pending.start)
    if n < 0:
        if errno == EAGAIN or errno == EINTR:
            refresh(core, s, side)
        else:
            write_failed(core, s, side)
        return
    end.sent += <uint64_t>n
    if s.idle_ms == 0 or side == UPSTREAM:
        s.active = core.now
    pending.start += <uint32_t>n
    if pending.start < pending.end:
        refresh(core, s, side)
        return
    free(pending)
    end.pending = NULL
    if s.state == REFUSING:
        finish(core, s, REFUSED, True)
        return
    refresh(core, s, side)
    if s.state != RELAY:
        return
    refresh(core, s, 1 - side)
    if s.state == RELAY and s.idle_ms:
        arm(core, s, due(s))
    if s.state == RELAY and s.ends[1 - side].ended:
        pass_end(core, s, 1 - side)


cdef void write_failed(Core *core, Session *s, int side) noexcept nogil:
    """This side takes nothing any more; what it said before may still be unread, so read on."""
    cdef End *end = &s.ends[side]
    if s.broken_by == 0 and s.state == RELAY:
        s.broken_by = -errno
    end.broken = True
    free(end.pending)
    end.pending = NULL
    if s.state == ANSWERING and not end.ended:
        # What it said before it closed is an answer too.
        refresh(core, s, side)
        return
    if s.state != RELAY or end.ended:
        finish(core, s, CLIENT_ERROR if side == CLIENT else UPSTREAM_ERROR, True)
        return
    refresh(core, s, 1 - side)
    if s.state == RELAY:
        refresh(core, s, side)


cdef void side_ended(Core *core, Session *s, int side, Reason reason) noexcept nogil:
    """All that this side sent is read. The other gets its end once it has taken the rest."""
    s.ends[side].ended = True
    if reason == CLIENT_ERROR or reason == UPSTREAM_ERROR:
        s.ends[side].broken = True
        free(s.ends[side].pending)
        s.ends[side].pending = NULL
    if not s.reasoned:
        s.reasoned = True
        s.reason = reason
    if s.ends[1 - side].pending is NULL or s.ends[1 - side].broken:
        pass_end(core, s, side)
        return
    refresh(core, s, side)
    if s.state == RELAY:
        refresh(core, s, 1 - side)


cdef void pass_end(Core *core, Session *s, int side) noexcept nogil:
    """`side` has ended, the other has taken everything: close both, or half of the other."""
    cdef End *source = &s.ends[side]
    cdef End *target = &s.ends[1 - side]
    if not s.terms.half_close or source.broken or target.broken:
        finish(core, s, <Reason>s.reason, True)
        return
    if target.ended and source.pending is NULL:
        finish(core, s, <Reason>s.reason, True)
        return
    if not target.shut:
        tls_goodbye(target)
        shutdown(target.fd, SHUT_WR)
        target.shut = True
    refresh(core, s, side)
    if s.state == RELAY:
        refresh(core, s, 1 - side)


# --- rates (nginx's formula: what a second allows, then a pause for what was read) ---


cdef size_t allowance(Core *core, Session *s, int side, size_t size) noexcept nogil:
    cdef uint64_t rate = s.terms.rates[side]
    cdef uint64_t seconds = <uint64_t>((core.now - s.try_started) // 1000 + 1)
    cdef uint64_t allowed = rate * seconds
    cdef uint64_t received = s.ends[side].received
    if received >= allowed:
        pause_reading(core, s, side, <int64_t>((received - allowed) * 1000 // rate) + 1)
        return 0
    return size if size < allowed - received else <size_t>(allowed - received)


cdef void pace(Core *core, Session *s, int side, uint64_t size) noexcept nogil:
    cdef int64_t pause = <int64_t>(size * 1000 // s.terms.rates[side])
    if pause > 0:
        pause_reading(core, s, side, pause)


cdef void pause_reading(Core *core, Session *s, int side, int64_t pause) noexcept nogil:
    s.ends[side].resume_at = core.now + pause
    refresh(core, s, side)
    if s.state == RELAY:
        arm(core, s, s.ends[side].resume_at)


# --- end ---


cdef void refuse(Core *core, Session *s, const char *data, uint32_t size) noexcept nogil:
    """Send our last words to the client, then close."""
    s.state = REFUSING
    s.until = core.now + LINGER_MS
    if size == 0 or s.ends[CLIENT].fd < 0:
        finish(core, s, REFUSED, True)
        return
    s.ends[CLIENT].pending = pending_of(data, size)
    if s.ends[CLIENT].pending is NULL:
        finish(core, s, FAILED, False)
        return
    arm(core, s, s.until)
    if s.state == REFUSING:
        write_to(core, s, CLIENT)


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
    for side in range(2):
        end = &s.ends[side]
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


cdef void client_early(Core *core, Session *s) noexcept nogil:
    """The client stirs before its node has answered: a client that has left takes no place longer.

    What it sent waits in the kernel, and then only an end behind it is of interest. An end behind
    bytes that are still to go to the node does not stop them.
    """
    cdef char byte
    cdef ssize_t n = recv(s.ends[CLIENT].fd, &byte, 1, MSG_PEEK)
    if n < 0 and errno != EAGAIN and errno != EINTR:
        finish(core, s, CLIENT_ERROR, True)
    elif s.ends[CLIENT].more:
        # What it sent was read ahead by its TLS.
        want(core, s, CLIENT, EPOLLRDHUP if n < 0 else 0)
    elif n == 0 and s.rest is NULL and not s.terms.half_close:
        finish(core, s, CLIENT_CLOSED, True)
    elif n > 0 and s.ends[CLIENT].events & EPOLLIN:
        want(core, s, CLIENT, EPOLLRDHUP)
    else:
        want(core, s, CLIENT, 0)


# --- what the loop calls ---


cdef void on_event(Core *core, Session *s, int side, uint32_t events) noexcept nogil:
    if s.ends[side].fd < 0:
        return
    if s.state == RELAY:
        # HUP and ERR say no more than "read now": the bytes before them count first.
        if events & ~<uint32_t>EPOLLOUT and s.ends[side].events & EPOLLIN:
            relay(core, s, side)
        if s.state == RELAY and s.ends[side].pending is not NULL and events & ~<uint32_t>EPOLLIN:
            write_to(core, s, side)
    elif s.ends[side].shaking:
        shake(core, s, side)
    elif s.state == CONNECTING and side == UPSTREAM:
        established(core, s, events)
    elif s.state == PREREAD:
        read_first(core, s)
    elif s.state == HEADER:
        read_header(core, s)
    elif s.state == ANSWERING and side == UPSTREAM:
        if s.ends[side].pending is not NULL and events & EPOLLOUT:
            write_to(core, s, side)
        if s.state == ANSWERING and events & ~<uint32_t>EPOLLOUT:
            read_answer(core, s)
    elif s.state == LINGER:
        linger_read(core, s, side)
    elif s.state == REFUSING:
        if s.ends[side].pending is not NULL:
            write_to(core, s, side)
    elif side == CLIENT and (
        s.state == CONNECTING or s.state == SECURING or s.state == ANSWERING
    ):
        client_early(core, s)
    else:
        # It speaks while it is not its turn; its bytes wait in the kernel.
        want(core, s, side, 0)


cdef inline int64_t limit_ms(Session *s) noexcept nogil:
    """How long nothing may pass.

    While we hold the client back, its silence is our doing; before the upstream's first byte the
    client may well wait for that.
    """
    cdef int64_t limit = s.idle_ms
    if limit and s.first_byte_ms < 0 and s.answer_ms > limit:
        limit = s.answer_ms
    if s.idle_ms and s.ends[UPSTREAM].pending is NULL and s.ends[CLIENT].resume_at == 0:
        return limit
    return limit if limit > s.terms.timeout_ms else s.terms.timeout_ms


cdef int64_t due(Session *s) noexcept nogil:
    """When the session's next deadline is."""
    cdef int64_t at
    cdef int side
    if s.state != RELAY:
        return s.until if s.until else INT64_MAX
    at = s.active + limit_ms(s)
    for side in range(2):
        if s.ends[side].resume_at and s.ends[side].resume_at < at:
            at = s.ends[side].resume_at
    return at


cdef void on_deadline(Core *core, Session *s) noexcept nogil:
    cdef int side
    if s.state == RELAY:
        if s.active + limit_ms(s) <= core.now:
            finish(core, s, TIMED_OUT, False)
            return
        for side in range(2):
            if s.ends[side].resume_at and s.ends[side].resume_at <= core.now:
                s.ends[side].resume_at = 0
                if side == CLIENT:
                    s.active = core.now
                refresh(core, s, side)
                if s.state != RELAY:
                    return
        arm(core, s, due(s))
    elif s.state == CONNECTING or s.state == SECURING:
        fail_try(core, s, ETIMEDOUT)
    elif s.state == HANDSHAKE:
        note_fault(s, b"client timed out", ETIMEDOUT)
        s.status = INTERNAL_ERROR
        finish(core, s, NO_HANDSHAKE, False)
    elif s.state == ANSWERING:
        fail_try(core, s, ETIME)
    elif s.state == PREREAD:
        # Whatever comes later is too late: Python has to do with what is there.
        s.ends[CLIENT].ended = True
        want(core, s, CLIENT, 0)
        s.state = DECIDING
        call(core, s, CALL_PREREAD)
    elif s.state == HEADER:
        s.error = ETIMEDOUT
        show_header(core, s)
    elif s.state == LINGER:
        linger_over(core, s)
    elif s.state == REFUSING:
        finish(core, s, REFUSED, False)
    elif s.state == DECIDING and s.later:
        finish(core, s, TIMED_OUT, True)
