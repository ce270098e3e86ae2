"""The whole path of a message: an event comes in at `on_relay`, `relay` reads once and sends once.

Whatever is not the plain case (a slow receiver, a rate, an end) leaves that path for a function of
its own. Nothing here holds the GIL or calls Python.
"""

from libc.errno cimport EAGAIN, EINTR, EPROTO, errno
from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free

from tidegate.engine.ends cimport arm, call, finish, leave_upstream, want
from tidegate.engine.exchange cimport SHOW, SPENT, account, bounded, complete, exhausted
from tidegate.engine.linux cimport (
    EPOLLIN,
    EPOLLOUT,
    EPOLLRDHUP,
    MSG_NOSIGNAL,
    MSG_PEEK,
    SHUT_WR,
    recv,
    send,
    shutdown,
    ssize_t,
)
from tidegate.engine.pending cimport append, pending_of
from tidegate.engine.tls cimport note_fault, tls_goodbye, tls_read, tls_write
from tidegate.engine.types cimport (
    ANSWERING,
    CALL_DONE,
    CALL_ANSWERED,
    CALL_OVERHEAR,
    CLIENT,
    CLIENT_CLOSED,
    CLIENT_ERROR,
    DECIDING,
    FAILED,
    REFUSING,
    RELAY,
    RELAY_BUFFER,
    SAYING,
    UPSTREAM,
    UPSTREAM_CLOSED,
    UPSTREAM_ERROR,
    Core,
    End,
    Frames,
    Pending,
    Reason,
    Session,
)
from tidegate.engine.websocket cimport (
    HEADROOM,
    MOST_IN_FRAME,
    frames_of,
    holds_back,
    put_head,
    unwrap,
)


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


cdef void upload(Core *core, Session *s) noexcept nogil:
    """Pass on what the client has to send before its answer comes."""
    cdef End *source = &s.ends[CLIENT]
    cdef End *target = &s.ends[UPSTREAM]
    cdef ssize_t sent
    cdef ssize_t n = pull(
        core, s, CLIENT, core.buffer, bounded(s, CLIENT, s.terms.buffer_size)
    )
    if n < 0 and (errno == EAGAIN or errno == EINTR):
        return
    if n <= 0:
        finish(core, s, CLIENT_CLOSED if n == 0 else CLIENT_ERROR, True)
        return
    source.received += <uint64_t>n
    s.exchange.streamed += <uint64_t>n
    s.exchange.left[CLIENT] -= n
    sent = push(s, UPSTREAM, core.buffer, <size_t>n)
    if sent < 0 and errno != EAGAIN and errno != EINTR:
        write_failed(core, s, UPSTREAM)
        return
    if sent < 0:
        sent = 0
    target.sent += <uint64_t>sent
    if sent == n:
        return
    target.pending = pending_of(core.buffer + sent, <uint32_t>(n - sent))
    if target.pending is NULL:
        finish(core, s, FAILED, False)
    else:
        refresh(core, s, UPSTREAM)


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


cdef void refresh(Core *core, Session *s, int side) noexcept nogil:
    """Ask epoll for what this side can do now."""
    cdef End *end = &s.ends[side]
    cdef End *other = &s.ends[1 - side]
    cdef uint32_t events = 0
    if s.state == RELAY:
        if end.metered and exhausted(s, side):
            # Of a client that waits for its answer we want to know whether it leaves.
            if side == CLIENT and not end.ended and not other.ended and not s.terms.half_close:
                events = EPOLLRDHUP
        elif (
            not end.ended
            and not (end.metered and side == CLIENT and holds_back(s))
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


cdef void begin_relay(Core *core, Session *s) noexcept nogil:
    """From here on bytes pass; those that wait already go first."""
    cdef int side
    s.active = core.now
    s.state = RELAY
    if s.exchange is NULL or not s.exchange.again:
        free(s.preread)
        s.preread = NULL
    # What is delivered at once holds nobody up: epoll is told of a side when that is known.
    for side in range(1, -1, -1):
        if s.state == RELAY and s.ends[side].pending is not NULL:
            write_to(core, s, side)
    for side in range(1, -1, -1):
        if s.state == RELAY:
            refresh(core, s, side)
    if s.state == RELAY:
        arm(core, s, due(s))
    for side in range(2):
        if s.state == RELAY and s.ends[side].ended and s.ends[1 - side].pending is NULL:
            pass_end(core, s, side)


cdef void on_relay(Core *core, Session *s, int side, uint32_t events) noexcept nogil:
    """What epoll has to tell of a session that relays."""
    if s.ends[side].fd < 0:
        return
    # HUP and ERR say no more than "read now": the bytes before them count first.
    if events & ~<uint32_t>EPOLLOUT:
        if s.ends[side].events & EPOLLIN:
            relay(core, s, side)
        elif s.ends[side].events & EPOLLRDHUP:
            client_left(core, s)
    if s.state == RELAY and s.ends[side].pending is not NULL and events & ~<uint32_t>EPOLLIN:
        write_to(core, s, side)


cdef void relay(Core *core, Session *s, int side) noexcept nogil:
    """The message path: one read from this side, one send to the other."""
    cdef End *source = &s.ends[side]
    cdef End *target = &s.ends[1 - side]
    cdef size_t size = s.terms.buffer_size
    cdef ssize_t n, sent
    if source.metered:
        if frames_of(s) is not NULL:
            relay_frames(core, s, side)
            return
        size = allowance(core, s, side, size)
        if size == 0:
            return
    n = pull(core, s, side, core.buffer, size)
    if n <= 0:
        nothing_read(core, s, side, n)
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
    elif not hold_back(core, s, 1 - side, core.buffer, <uint32_t>n, sent):
        return
    if source.metered:
        measure(core, s, side, <uint32_t>n)


cdef void nothing_read(Core *core, Session *s, int side, ssize_t n) noexcept nogil:
    """A read of this side gave its end, an error, or no more than that there is nothing."""
    if n == 0:
        side_ended(core, s, side, CLIENT_CLOSED if side == CLIENT else UPSTREAM_CLOSED)
    elif errno != EAGAIN and errno != EINTR:
        if s.broken_by == 0:
            s.broken_by = errno
        side_ended(core, s, side, CLIENT_ERROR if side == CLIENT else UPSTREAM_ERROR)


cdef void answered(Core *core, Session *s) noexcept nogil:
    """The upstream's first byte: from here on the client's silence counts."""
    s.first_byte_ms = <int>(core.now - s.try_started)
    if s.hears:
        call(core, s, CALL_ANSWERED)
    if s.idle_ms:
        s.active = core.now
        arm(core, s, due(s))


cdef bint hold_back(
    Core *core, Session *s, int side, const char *data, uint32_t size, ssize_t sent
) noexcept nogil:
    """Keep what a slow receiver did not take, and stop reading its sender; False at the end."""
    cdef End *end = &s.ends[side]
    if sent < 0:
        if errno != EAGAIN and errno != EINTR:
            write_failed(core, s, side)
            return False
        sent = 0
    end.sent += <uint64_t>sent
    end.pending = pending_of(data + sent, size - <uint32_t>sent)
    if end.pending is NULL:
        finish(core, s, FAILED, False)
        return False
    refresh(core, s, 1 - side)
    if s.state == RELAY:
        refresh(core, s, side)
    if s.state == RELAY and s.terms.send_ms:
        arm(core, s, due(s))
    return s.state == RELAY


cdef void write_to(Core *core, Session *s, int side) noexcept nogil:
    """Send what waits for this side; when all is gone its sender, in a relay, is read again."""
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
    if s.state == REFUSING or s.state == SAYING:
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
    if s.state != RELAY or end.ended or (side == CLIENT and exhausted(s, CLIENT)):
        finish(core, s, CLIENT_ERROR if side == CLIENT else UPSTREAM_ERROR, True)
        return
    refresh(core, s, 1 - side)
    if s.state == RELAY:
        refresh(core, s, side)


# --- a client that speaks WebSocket ---


cdef void relay_frames(Core *core, Session *s, int side) noexcept nogil:
    """As `relay`, between the client's frames and the upstream's bytes."""
    cdef char *data = core.buffer + (HEADROOM if side == UPSTREAM else 0)
    cdef uint32_t size = s.terms.buffer_size
    cdef ssize_t n
    if size > MOST_IN_FRAME:
        size = MOST_IN_FRAME
    n = pull(core, s, side, data, size)
    if n <= 0:
        nothing_read(core, s, side, n)
        return
    s.ends[side].received += <uint64_t>n
    if s.idle_ms == 0 or side == CLIENT:
        s.active = core.now
    if side == CLIENT:
        hear_frames(core, s, data, <uint32_t>n)
        return
    if s.first_byte_ms < 0:
        answered(core, s)
        if s.state != RELAY:
            return
    size = put_head(core.buffer, <uint32_t>n)
    deliver(core, s, CLIENT, data - size, <uint32_t>n + size)


cdef void hear_frames(Core *core, Session *s, char *data, uint32_t size) noexcept nogil:
    """Frames of the client: what they hold is the upstream's, some are for us."""
    size = unwrap(frames_of(s), data, size)
    if size and not deliver(core, s, UPSTREAM, data, size):
        return
    heard_frames(core, s)


cdef void heard_frames(Core *core, Session *s) noexcept nogil:
    """What came in frames before the relay began has gone; the rest of what they asked for."""
    cdef Frames *f = frames_of(s)
    if f.reply is not NULL and not answer_frames(core, s, f):
        return
    if f.code:
        frames_ended(core, s, f)


cdef bint deliver(
    Core *core, Session *s, int side, const char *data, uint32_t size
) noexcept nogil:
    """Send bytes to a side that has none waiting; False at the end."""
    cdef ssize_t sent = push(s, side, data, size)
    if sent == <ssize_t>size:
        s.ends[side].sent += size
        return True
    return hold_back(core, s, side, data, size, sent)


cdef bint answer_frames(Core *core, Session *s, Frames *f) noexcept nogil:
    """Send the client our answers; one that does not take them is not read until it does."""
    cdef End *end = &s.ends[CLIENT]
    cdef Pending *words = f.reply
    cdef bint good
    f.reply = NULL
    if end.pending is NULL:
        good = end.broken or deliver(core, s, CLIENT, words.data, words.end)
    else:
        good = append(&end.pending, words.data, words.end)
        if not good:
            finish(core, s, FAILED, False)
    free(words)
    if not good:
        return False
    f.stuck = end.pending is not NULL
    if f.stuck:
        refresh(core, s, CLIENT)
    return s.state == RELAY


cdef void frames_ended(Core *core, Session *s, Frames *f) noexcept nogil:
    """The client said its end, or broke a rule and was told so."""
    if f.fault is NULL:
        side_ended(core, s, CLIENT, CLIENT_CLOSED)
        return
    note_fault(s, f.fault, 0)
    if s.broken_by == 0:
        s.broken_by = EPROTO
    finish(core, s, CLIENT_ERROR, True)


# --- ends ---


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
    if side == UPSTREAM and complete(s):
        end_answer(core, s)
        return
    if side == CLIENT and s.terms.half_close and exhausted(s, CLIENT) and not source.broken:
        # Its request has gone in whole, and the answer is to come.
        refresh(core, s, CLIENT)
        return
    if not s.terms.half_close or source.broken or target.broken or frames_of(s) is not NULL:
        finish(core, s, <Reason>s.reason, True)
        return
    if side == UPSTREAM and exhausted(s, CLIENT):
        # Its answer breaks off here, and the client, which has nothing more to say, is not heard.
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


cdef void end_answer(Core *core, Session *s) noexcept nogil:
    """The client has its answer; Python says what comes next."""
    tls_goodbye(&s.ends[UPSTREAM])
    leave_upstream(core, s)
    want(core, s, CLIENT, 0)
    if s.state != RELAY:
        return
    s.state = DECIDING
    s.answer_size = 0
    s.ended = core.now
    call(core, s, CALL_DONE)


cdef void client_left(Core *core, Session *s) noexcept nogil:
    """The client has ended though its answer is not there yet: nobody waits for that any more."""
    cdef char byte
    cdef ssize_t n = recv(s.ends[CLIENT].fd, &byte, 1, MSG_PEEK)
    if n < 0 and errno != EAGAIN and errno != EINTR:
        finish(core, s, CLIENT_ERROR, True)
    else:
        finish(core, s, CLIENT_CLOSED, True)


# --- rates (nginx's formula: what a second allows, then a pause for what was read) ---


cdef size_t allowance(Core *core, Session *s, int side, size_t size) noexcept nogil:
    """How many bytes may be read from this side now; 0 after a pause was begun."""
    cdef uint64_t rate = s.terms.rates[side]
    cdef uint64_t seconds = <uint64_t>((core.now - s.try_started) // 1000 + 1)
    cdef uint64_t allowed = rate * seconds
    cdef uint64_t received = s.ends[side].received
    size = bounded(s, side, size)
    if rate == 0:
        return size
    if received >= allowed:
        pause_reading(core, s, side, <int64_t>((received - allowed) * 1000 // rate) + 1)
        return 0
    return size if size < allowed - received else <size_t>(allowed - received)


cdef void measure(Core *core, Session *s, int side, uint32_t size) noexcept nogil:
    """Bytes of this side, still in the buffer, have passed: what follows from that."""
    cdef int found = account(s, side, core.buffer, size)
    if s.terms.rates[side]:
        pace(core, s, side, size)
    if found & SHOW:
        call(core, s, CALL_OVERHEAR)
    if not found & SPENT or s.state != RELAY:
        return
    if side == UPSTREAM:
        side_ended(core, s, UPSTREAM, UPSTREAM_CLOSED)
    else:
        refresh(core, s, CLIENT)


cdef void pace(Core *core, Session *s, int side, uint64_t size) noexcept nogil:
    cdef int64_t pause = <int64_t>(size * 1000 // s.terms.rates[side])
    if pause > 0:
        pause_reading(core, s, side, pause)


cdef void pause_reading(Core *core, Session *s, int side, int64_t pause) noexcept nogil:
    s.ends[side].resume_at = core.now + pause
    refresh(core, s, side)
    if s.state == RELAY:
        arm(core, s, s.ends[side].resume_at)


# --- time ---


cdef int64_t limit_ms(Session *s) noexcept nogil:
    """How long nothing may pass.

    While we hold the client back, its silence is our doing; before the upstream's first byte the
    client may well wait for that.
    """
    cdef int64_t limit = s.idle_ms
    if limit == 0 and s.terms.send_ms and s.ends[CLIENT].pending is not NULL:
        return s.terms.send_ms
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
