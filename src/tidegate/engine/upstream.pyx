"""A session's way to its upstream: connect, TLS, and the answer where Python wants to see it."""

from libc.errno cimport EAGAIN, EINPROGRESS, EPROTO, errno
from libc.stdint cimport uint32_t
from libc.stdlib cimport free

from tidegate.engine.ends cimport arm, call, finish, leave_upstream, shake, want
from tidegate.engine.exchange cimport streams
from tidegate.engine.linux cimport (
    AF_INET6,
    AF_UNIX,
    EPOLLIN,
    EPOLLOUT,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPV6_TRANSPARENT,
    IP_BIND_ADDRESS_NO_PORT,
    IP_TRANSPARENT,
    MSG_NOSIGNAL,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    SO_ERROR,
    SO_KEEPALIVE,
    TCP_NODELAY,
    bind,
    connect,
    getsockopt,
    send,
    setsockopt,
    sockaddr,
    socket,
    socklen_t,
    ssize_t,
)
from tidegate.engine.pending cimport append
from tidegate.engine.relay cimport begin_relay, collect, heard_frames, refresh, upload, write_to
from tidegate.engine.tls cimport SHAKE_DONE, SHAKE_FAILED, Shake, drop_tls, tls_start
from tidegate.engine.types cimport (
    ANSWERING,
    CALL_ANSWER,
    CALL_CONNECTED,
    CALL_INSPECT,
    CLIENT,
    CONNECTING,
    DECIDING,
    FAILED,
    RELAY,
    SECURING,
    UPSTREAM,
    Core,
    End,
    Session,
)
from tidegate.engine.websocket cimport frames_of, unwrap


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
        shake_upstream(core, s)
    else:
        fail_try(core, s, EPROTO)


cdef void shake_upstream(Core *core, Session *s) noexcept nogil:
    cdef Shake step = shake(core, s, UPSTREAM)
    if step == SHAKE_FAILED:
        fail_try(core, s, EPROTO)
    elif step == SHAKE_DONE:
        drop_tls(s.tls)
        s.tls = NULL
        joined(core, s)


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
        s.until = core.now + patience(s)
        inspect(core, s, 1)
    else:
        begin_relay(core, s)


# --- answer ---


cdef void inspect(Core *core, Session *s, uint32_t need) noexcept nogil:
    """Read the upstream's first bytes until `need` of them are there, or it ends, or it is late."""
    s.state = ANSWERING
    s.need = need
    arm(core, s, s.until)
    if s.state != ANSWERING:
        return
    if s.ends[UPSTREAM].pending is not NULL:
        write_to(core, s, UPSTREAM)
        if s.state == ANSWERING and streams(s):
            s.until = core.now + patience(s)  # what was sent at once need not be waited for
            arm(core, s, s.until)
    else:
        refresh(core, s, UPSTREAM)
    if s.state == ANSWERING and (s.answer is NULL or s.exchange is not NULL):
        hear_client(core, s)


cdef int64_t patience(Session *s) noexcept nogil:
    """How long the answer may take, or what the client has to send before it."""
    if streams(s) and s.ends[UPSTREAM].pending is NULL:
        return s.exchange.body_ms
    return s.answer_ms


cdef void hear_client(Core *core, Session *s) noexcept nogil:
    """The client may send before the answer comes, or leave."""
    if s.ends[CLIENT].ended:
        return
    if streams(s) and s.ends[UPSTREAM].pending is not NULL:
        want(core, s, CLIENT, 0)
    else:
        want(core, s, CLIENT, EPOLLIN)


cdef void send_on(Core *core, Session *s, int side, uint32_t events) noexcept nogil:
    """Until the answer comes the upstream is sent what it takes, and the client read for it."""
    if side == CLIENT:
        upload(core, s)
    elif s.ends[UPSTREAM].pending is not NULL and events & EPOLLOUT:
        write_to(core, s, UPSTREAM)
    else:
        return
    if s.state != ANSWERING:
        return
    s.until = core.now + patience(s)
    arm(core, s, s.until)
    if s.state == ANSWERING and (side == CLIENT or streams(s)):
        hear_client(core, s)


cdef void read_answer(Core *core, Session *s) noexcept nogil:
    if s.first_byte_ms < 0:
        s.first_byte_ms = <int>(core.now - s.try_started)
    if collect(core, s, UPSTREAM, &s.answer, s.answer_size):
        s.state = DECIDING
        call(core, s, CALL_INSPECT)


cdef void accept_answer(Core *core, Session *s) noexcept nogil:
    """The client gets the answer, the upstream what the client sent meanwhile; they are joined."""
    s.ends[CLIENT].pending = s.answer
    s.answer = NULL
    if s.rest is not NULL and frames_of(s) is not NULL:
        s.rest.end = unwrap(frames_of(s), s.rest.data, s.rest.end)
    if s.rest is not NULL and not give(core, s, s.rest.data, s.rest.end):
        return
    free(s.rest)
    s.rest = NULL
    begin_relay(core, s)
    if s.state == RELAY and frames_of(s) is not NULL:
        heard_frames(core, s)


cdef bint give(Core *core, Session *s, const char *data, uint32_t size) noexcept nogil:
    """See that the upstream gets these bytes behind those that wait for it; False at the end."""
    if size == 0 or append(&s.ends[UPSTREAM].pending, data, size):
        return True
    finish(core, s, FAILED, False)
    return False
