"""The life of a session before and beside its relay: accept, ssl, preread, refusals.

`relay.pyx` moves the bytes, `upstream.pyx` connects, `ends.pyx` closes. Nothing here holds the GIL
or calls Python; what needs a decision is put into the queue with `call`.
"""

from libc.errno cimport EAGAIN, EINTR, ETIME, ETIMEDOUT, errno
from libc.stdint cimport int64_t, uint32_t

from tidegate.engine.ends cimport (
    arm,
    call,
    calm,
    finish,
    linger_over,
    linger_read,
    shake,
    wait_for_request,
    wait_no_longer,
    want,
)
from tidegate.engine.exchange cimport streams
from tidegate.engine.linux cimport EPOLLIN, EPOLLOUT, EPOLLRDHUP, MSG_PEEK, recv, ssize_t
from tidegate.engine.pending cimport pending_of
from tidegate.engine.proxy_header cimport TAKEN_ALL, TAKEN_FAILED, Taken, take_header
from tidegate.engine.relay cimport collect, due, limit_ms, refresh, write_to
from tidegate.engine.tls cimport (
    SHAKE_ASKS,
    SHAKE_GREETED,
    SHAKE_DONE,
    SHAKE_FAILED,
    Shake,
    drop_tls,
    note_fault,
    tls_accept,
    tls_free,
    tls_unheard,
)
from tidegate.engine.types cimport (
    ANSWERING,
    CALL_ACCEPT,
    CALL_CERTIFICATES,
    CALL_GREETED,
    CALL_PICK,
    CALL_PREREAD,
    CLIENT,
    CLIENT_CLOSED,
    CLIENT_ERROR,
    CONNECTING,
    DECIDING,
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
    SAYING,
    SECURING,
    TIMED_OUT,
    UPSTREAM,
    Core,
    Session,
)
from tidegate.engine.upstream cimport established, fail_try, read_answer, send_on, shake_upstream

cdef enum:
    # nginx's status of a session whose handshake failed.
    INTERNAL_ERROR = 500


# --- accept ---


cdef void arrive(
    Core *core, Session *s, int64_t header_ms, bint asks_accept
) noexcept nogil:
    """The first phase that is asked for: a PROXY header in that time, the accept phase, or none."""
    s.arriving = True
    s.headed = header_ms != 0
    if header_ms:
        s.state = HEADER
        s.until = core.now + header_ms
        arm(core, s, s.until)
        if s.state == HEADER:
            want(core, s, CLIENT, EPOLLIN)
    elif asks_accept:
        s.state = DECIDING
        call(core, s, CALL_ACCEPT)
    else:
        proceed(core, s)


cdef void proceed(Core *core, Session *s) noexcept nogil:
    """The accept phase is over: the client's TLS, where there is one, or its first bytes."""
    s.arriving = False
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
    if s.preread_size and s.preread is not NULL:
        # It was read where the connection was passed on from.
        s.idle_counts = False
        s.until = core.now + s.preread_ms
        s.state = DECIDING
        call(core, s, CALL_PREREAD)
        return
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
        # What was preread is there already, whatever else comes.
        want(core, s, CLIENT, EPOLLOUT if s.ends[CLIENT].replays else EPOLLIN)


cdef bint speaks_plain(Core *core, Session *s) noexcept nogil:
    """Whether a client began without TLS where that may be told it; then it is heard so."""
    cdef unsigned char first
    if not s.idle_counts or not tls_unheard(&s.ends[CLIENT]):
        return False
    if s.ends[CLIENT].replays:
        first = <unsigned char>s.preread.data[0]
    elif recv(s.ends[CLIENT].fd, <char *>&first, 1, MSG_PEEK) != 1:
        return False
    # A record of TLS, or what version 2 of SSL begins with.
    if first == 0x16 or first & 0x80:
        return False
    calm(core, s, CLIENT)
    if s.ends[CLIENT].replays:
        s.ends[CLIENT].replays = False
        s.ends[CLIENT].received += s.preread.end
    tls_free(&s.ends[CLIENT])
    drop_tls(s.tls)
    s.tls = NULL
    begin(core, s)
    return True


cdef void shake_client(Core *core, Session *s) noexcept nogil:
    cdef Shake step
    if speaks_plain(core, s):
        return
    step = shake(core, s, CLIENT)
    if step == SHAKE_ASKS:
        call(core, s, CALL_CERTIFICATES)
    elif step == SHAKE_GREETED:
        call(core, s, CALL_GREETED)
    elif step == SHAKE_FAILED:
        s.status = INTERNAL_ERROR
        finish(core, s, NO_HANDSHAKE, True)
    elif step == SHAKE_DONE and s.ends[CLIENT].replays and s.preread is not NULL:
        # No client can have said so much before it heard of us.
        finish(core, s, FAILED, False)
    elif step == SHAKE_DONE:
        s.ends[CLIENT].replays = False
        drop_tls(s.tls)
        s.tls = NULL
        begin(core, s)


cdef void shake_on(Core *core, Session *s) noexcept nogil:
    """Python was asked in the midst of the client's handshake; it goes on in its turn."""
    if s.state == HANDSHAKE:
        want(core, s, CLIENT, EPOLLOUT)


# --- preread ---


cdef void preread(Core *core, Session *s, uint32_t need, int64_t until) noexcept nogil:
    """Read from the client until `need` bytes are there, or it ends, or `until`."""
    s.state = PREREAD
    s.need = need
    s.until = until
    arm(core, s, until)
    if s.preread is NULL and (s.idle_counts or (s.exchange is not NULL and s.exchange.idle)):
        wait_for_request(core, s)
    if s.state == PREREAD:
        want(core, s, CLIENT, EPOLLIN)


cdef void read_first(Core *core, Session *s) noexcept nogil:
    cdef bint enough = collect(core, s, CLIENT, &s.preread, s.preread_size)
    if s.preread is not NULL:
        wait_no_longer(core, s)
        # From here on an exchange tells whether a request is owed.
        s.idle_counts = False
    if enough:
        s.state = DECIDING
        call(core, s, CALL_PREREAD)


# --- our words ---


cdef void say(Core *core, Session *s, const char *data, uint32_t size) noexcept nogil:
    """Send words to the client, and then read its next ones."""
    s.state = SAYING
    if size == 0:
        said(core, s)
        return
    s.ends[CLIENT].pending = pending_of(data, size)
    if s.ends[CLIENT].pending is NULL:
        finish(core, s, FAILED, False)
        return
    s.until = core.now + s.exchange.send_ms
    arm(core, s, s.until)
    if s.state == SAYING:
        speak(core, s)


cdef void speak(Core *core, Session *s) noexcept nogil:
    """Send what the client takes of our words."""
    write_to(core, s, CLIENT)
    if s.ends[CLIENT].pending is not NULL:
        if s.state == SAYING:
            s.until = core.now + s.exchange.send_ms
    elif s.state == SAYING:
        said(core, s)
    elif s.state == REFUSING:
        finish(core, s, REFUSED, True)


cdef void said(Core *core, Session *s) noexcept nogil:
    """The client has our words: what it said, or says now, is looked at."""
    cdef uint32_t have = s.preread.end if s.preread is not NULL else 0
    if have < s.need and have < s.preread_size and not s.ends[CLIENT].ended:
        preread(core, s, s.need, core.now + s.preread_ms)
        return
    s.state = DECIDING
    call(core, s, CALL_PREREAD)


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
        speak(core, s)


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
    """What epoll has to tell of a session that does not relay; that is `on_relay`'s."""
    if s.ends[side].fd < 0:
        return
    if s.ends[side].shaking:
        if side == CLIENT:
            shake_client(core, s)
        else:
            shake_upstream(core, s)
    elif s.state == CONNECTING and side == UPSTREAM:
        established(core, s, events)
    elif s.state == PREREAD:
        read_first(core, s)
    elif s.state == HEADER:
        read_header(core, s)
    elif s.state == ANSWERING and side == UPSTREAM:
        send_on(core, s, side, events)
        if s.state == ANSWERING and events & ~<uint32_t>EPOLLOUT:
            read_answer(core, s)
    elif s.state == LINGER:
        linger_read(core, s, side)
    elif (s.state == REFUSING or s.state == SAYING) and side == CLIENT:
        if s.ends[side].pending is not NULL:
            speak(core, s)
    elif s.state == ANSWERING and streams(s):
        send_on(core, s, side, events)
    elif side == CLIENT and (
        s.state == CONNECTING or s.state == SECURING or s.state == ANSWERING
    ):
        client_early(core, s)
    else:
        # It speaks while it is not its turn; its bytes wait in the kernel.
        want(core, s, side, 0)


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
    elif s.state == ANSWERING and streams(s) and s.ends[UPSTREAM].pending is NULL:
        # It is the client that we wait for.
        finish(core, s, TIMED_OUT, True)
    elif s.state == ANSWERING:
        fail_try(core, s, ETIME)
    elif s.state == PREREAD:
        # Whatever comes later is too late: Python has to do with what is there.
        s.ends[CLIENT].ended = True
        wait_no_longer(core, s)
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
    elif s.state == SAYING:
        finish(core, s, TIMED_OUT, False)
    elif s.state == DECIDING and s.later:
        finish(core, s, TIMED_OUT, True)
