"""The life of one connection: connect, perhaps TLS and an upgrade, CONNECT, CONNACK, messages, end.

Every step ends in a count or in a time, and every way to go wrong in one of `Fault`, once. Nothing
here holds the GIL.
"""

from libc.errno cimport EAGAIN, EINPROGRESS, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from tidegate.bench.histogram cimport record
from tidegate.bench.input cimport BROKEN, MORE, Split, split
from tidegate.bench.output cimport (
    drop_answer,
    fail,
    fault_of,
    flush,
    leave,
    may_send,
    pong,
    publish,
    read_clock,
    reply,
    send_bytes,
    text_of,
    timed,
    want,
)
from tidegate.bench.reason cimport note
from tidegate.bench.tls cimport (
    STEP_CLOSED,
    STEP_DONE,
    STEP_FAILED,
    STEP_WRITE,
    Step,
    begin_tls,
    has_more,
    read_tls,
    step_tls,
)
from tidegate.bench.types cimport (
    CLOSED,
    CLOSED_EARLY,
    CODE_CONNACK,
    CODE_DISCONNECT,
    CODE_PUBACK,
    CODE_SUBACK,
    CONNECTING,
    DISCONNECTED,
    ENDED,
    FRAME_CLOSED,
    IDLE,
    INTRODUCING,
    KEEPALIVE_NS,
    MALFORMED,
    MESSAGE_REFUSED,
    OTHER,
    PINGPONG,
    PUBLISH,
    READ_SIZE,
    READY,
    REJECTED,
    SECURING,
    SUBSCRIBE_REFUSED,
    SUBSCRIBING,
    TLS_CLOSED,
    TLS_FAILED,
    UPGRADE_REFUSED,
    UPGRADING,
    Client,
    Load,
)
from tidegate.bench.websocket cimport (
    ANSWER_BAD,
    ANSWER_GOOD,
    ANSWER_REFUSED,
    FRAME_BROKEN,
    FRAME_CLOSE,
    FRAME_DATA,
    FRAME_PING,
    Answer,
    Found,
    take_answer,
    take_frame,
)
from tidegate.engine.linux cimport (
    AF_UNIX,
    EPOLL_CTL_ADD,
    EPOLL_CTL_MOD,
    EPOLLERR,
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT,
    IP_BIND_ADDRESS_NO_PORT,
    IPPROTO_IP,
    IPPROTO_TCP,
    SO_ERROR,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    bind,
    connect,
    getsockopt,
    recv,
    setsockopt,
    sockaddr,
    socket,
    socklen_t,
    ssize_t,
)

cdef enum:
    # Packet types with their fixed flags (MQTT 5, 2.1).
    CONNACK_FIRST = 0x20
    PUBLISH_TYPE = 0x30
    PUBACK_FIRST = 0x40
    PUBREC_FIRST = 0x50
    PUBREL_FIRST = 0x62
    PUBCOMP_FIRST = 0x70
    SUBACK_FIRST = 0x90
    PINGRESP_FIRST = 0xD0
    DISCONNECT_FIRST = 0xE0
    TYPE_MASK = 0xF0
    # A reason code or a return code of SUBACK from here on is a refusal.
    FAILURE = 0x80


# --- beginning ---


cdef void wait_in_line(Load *load, Client *c) noexcept nogil:
    """Connect when the others before it have been told to."""
    c.phase = IDLE
    load.queue[(load.queue_start + load.queue_size) % load.count] = c.index
    load.queue_size += 1


cdef void open_client(Load *load, Client *c) noexcept nogil:
    cdef const sockaddr *address = <const sockaddr *>load.address
    cdef const char *source
    cdef int one = 1
    load.counts.tried += 1
    c.input.stage = 0
    c.frame.open = c.frame.have = False
    c.pinged = False
    c.asked = c.due = 0
    c.keepalive = load.keepalive
    c.phase = CONNECTING
    load.opening += 1
    c.opened = c.since = load.now = read_clock()
    if load.first_try == 0:
        load.first_try = load.now
    c.fd = socket(address.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if c.fd < 0:
        fail(load, c, fault_of(errno))
        return
    if address.sa_family != AF_UNIX:
        setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
    if load.sources_count:
        source = load.sources + (c.index % load.sources_count) * load.source_size
        setsockopt(c.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one))
        if bind(c.fd, <const sockaddr *>source, load.source_size) != 0:
            fail(load, c, fault_of(errno))
            return
    if connect(c.fd, address, load.address_size) != 0 and errno != EINPROGRESS:
        fail(load, c, fault_of(errno))
        return
    want(load, c, EPOLL_CTL_ADD, True)


cdef void connected(Load *load, Client *c) noexcept nogil:
    cdef int error = 0
    cdef socklen_t size = sizeof(error)
    getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &size)
    if error:
        fail(load, c, fault_of(error))
        return
    record(load.connect_times, load.now - c.since)
    load.counts.open += 1
    c.phase = SECURING
    c.since = load.now
    want(load, c, EPOLL_CTL_MOD, False)
    if c.phase != SECURING:
        return
    if load.ctx is NULL:
        upgrade(load, c)
    elif begin_tls(load, c):
        secure(load, c)
    else:
        fail(load, c, OTHER)


cdef void secure(Load *load, Client *c) noexcept nogil:
    """Go on with the handshake of TLS."""
    cdef Step step = step_tls(load, c)
    if step == STEP_DONE:
        load.now = read_clock()
        record(load.tls_times, load.now - c.since)
        want(load, c, EPOLL_CTL_MOD, False)
        if c.phase == SECURING:
            upgrade(load, c)
    elif step == STEP_FAILED:
        fail(load, c, TLS_FAILED)
    elif step == STEP_CLOSED:
        fail(load, c, TLS_CLOSED)
    elif c.writing != (step == STEP_WRITE):
        want(load, c, EPOLL_CTL_MOD, step == STEP_WRITE)


cdef void upgrade(Load *load, Client *c) noexcept nogil:
    """Ask for a WebSocket, where there is to be one."""
    cdef uint32_t length
    cdef const char *text
    if not load.websocket:
        introduce(load, c)
        return
    c.phase = UPGRADING
    c.since = load.now
    text = text_of(&load.requests, c, &length)
    send_bytes(load, c, text, length)


cdef void upgraded(Load *load, Client *c, const uint8_t **at, const uint8_t *end) noexcept nogil:
    """The answer to that, or a piece of it."""
    cdef Answer answer = take_answer(load, c, at, end)
    if answer == ANSWER_BAD:
        fail(load, c, MALFORMED)
    elif answer == ANSWER_REFUSED:
        fail(load, c, UPGRADE_REFUSED)
    elif answer == ANSWER_GOOD:
        drop_answer(c)
        record(load.upgrade_times, load.now - c.since)
        introduce(load, c)


cdef void introduce(Load *load, Client *c) noexcept nogil:
    """The way is there: say who we are."""
    cdef uint32_t length
    cdef const char *text
    c.phase = INTRODUCING
    c.since = load.now
    if load.raw:
        established(load, c)
        return
    text = text_of(&load.connects, c, &length)
    send_bytes(load, c, text, length)


cdef void established(Load *load, Client *c) noexcept nogil:
    """The target has let it in."""
    cdef uint32_t length
    cdef const char *text
    load.counts.established += 1
    load.opening -= 1
    if c.let_in and not load.reconnect:
        load.counts.returned += 1
    else:
        load.last_let_in = load.now
    c.let_in = True
    c.retries = 0
    if load.subscribes.data is not NULL:
        c.phase = SUBSCRIBING
        c.since = load.now
        text = text_of(&load.subscribes, c, &length)
        send_bytes(load, c, text, length)
        return
    become_ready(load, c)


cdef void become_ready(Load *load, Client *c) noexcept nogil:
    if load.counts.ready == 0:
        start_schedule(load)
    c.phase = READY
    c.place = <uint32_t>load.counts.ready
    load.ready[c.place] = c.index
    load.counts.ready += 1
    if load.client_period:
        load.next_message = min(load.next_message, load.now + period_of(load))
    if load.reconnect:
        leave(load, c)
        wait_in_line(load, c)
    elif not load.silent:
        begin_sending(load, c)


cdef void start_schedule(Load *load) noexcept nogil:
    """Somebody can send again; what was due since the last one went is not made up for."""
    if load.message_period and load.counts.begun and may_send(load):
        load.counts.late += <uint64_t>(
            max(load.now - load.next_message, <int64_t>0) // load.message_period
        )
    load.next_message = max(load.next_message, load.now)


cdef int64_t period_of(Load *load) noexcept nogil:
    """The time between two messages of all that are ready."""
    if load.message_period:
        return load.message_period
    return max(load.client_period // max(<int64_t>load.counts.ready, <int64_t>1), <int64_t>1)


cdef void begin_sending(Load *load, Client *c) noexcept nogil:
    """The first message, where there is no schedule for it."""
    if timed(load) or (load.job != PINGPONG and load.job != PUBLISH):
        return
    if load.job == PINGPONG or load.qos:
        publish(load, c, 0)
    else:
        want(load, c, EPOLL_CTL_MOD, True)


# --- receiving ---


cdef void on_event(Load *load, Client *c, uint32_t events) noexcept nogil:
    load.now = read_clock()
    if c.phase == CONNECTING:
        connected(load, c)
        return
    if c.phase == SECURING:
        secure(load, c)
        return
    if c.phase < CONNECTING or c.phase == ENDED:
        return
    if events & (EPOLLIN | EPOLLHUP | EPOLLERR):
        receive(load, c)
    if events & EPOLLOUT and c.phase > CONNECTING and c.phase != ENDED:
        flush(load, c)


cdef void receive(Load *load, Client *c) noexcept nogil:
    """Read once, and what TLS has read ahead."""
    cdef ssize_t n
    while True:
        if c.ssl is NULL:
            n = recv(c.fd, load.buffer, READ_SIZE, 0)
        else:
            n = read_tls(load, c, load.buffer, READ_SIZE)
        received(load, c, n)
        if n <= 0 or c.phase <= SECURING or c.phase == ENDED or not has_more(c):
            return


cdef void received(Load *load, Client *c, ssize_t n) noexcept nogil:
    """So many bytes are in the buffer, or as recv says."""
    cdef const uint8_t *at = <const uint8_t *>load.buffer
    if n < 0:
        if errno != EAGAIN and errno != EINTR:
            fail(load, c, fault_of(errno))
        return
    if n == 0:
        fail(load, c, CLOSED if c.phase > INTRODUCING else CLOSED_EARLY)
        return
    load.counts.bytes_received += <uint64_t>n
    if load.websocket:
        on_frames(load, c, at, at + n)
    else:
        on_bytes(load, c, at, at + n)


cdef void on_frames(Load *load, Client *c, const uint8_t *at, const uint8_t *end) noexcept nogil:
    """What comes through a WebSocket, or before there is one."""
    cdef const uint8_t *piece = NULL
    cdef uint32_t size = 0
    cdef Found found
    if c.phase == UPGRADING:
        upgraded(load, c, &at, end)
    while at < end and c.phase > UPGRADING and c.phase != ENDED:
        found = take_frame(&c.frame, &at, end, &piece, &size)
        if found == FRAME_DATA:
            on_bytes(load, c, piece, piece + size)
        elif found == FRAME_PING:
            pong(load, c)
        elif found == FRAME_CLOSE:
            note(load, FRAME_CLOSED, close_code(c), 0)
            fail(load, c, FRAME_CLOSED)
        elif found == FRAME_BROKEN:
            fail(load, c, MALFORMED)


cdef unsigned long close_code(Client *c) noexcept nogil:
    """Why the target closes; 1005 where it does not say (RFC 6455, 7.1.5)."""
    if c.frame.control_size < 2:
        return 1005
    return <unsigned long>c.frame.control[0] << 8 | c.frame.control[1]


cdef void on_bytes(Load *load, Client *c, const uint8_t *at, const uint8_t *end) noexcept nogil:
    """What the target says, whatever it came through."""
    cdef Split found
    if load.raw:
        on_echo(load, c, <uint32_t>(end - at))
        return
    while c.phase > CONNECTING and c.phase != ENDED:
        found = split(&c.input, &at, end)
        # What is no MQTT shows in its first byte, not when as much came as its second one says.
        if c.phase == INTRODUCING and c.input.first != CONNACK_FIRST:
            found = BROKEN
        if found == MORE:
            return
        if found == BROKEN:
            fail(load, c, MALFORMED)
            return
        on_packet(load, c)


cdef void on_echo(Load *load, Client *c, uint32_t size) noexcept nogil:
    if size > c.awaited or c.asked == 0:
        fail(load, c, MALFORMED)
        return
    c.awaited -= size
    if c.awaited == 0:
        load.counts.received += 1
        answered(load, c)


cdef void on_packet(Load *load, Client *c) noexcept nogil:
    cdef uint8_t first = c.input.first
    cdef uint16_t packet_id = <uint16_t>(c.input.head[0] << 8) | c.input.head[1]
    if c.phase == INTRODUCING:
        on_connack(load, c)
    elif first & TYPE_MASK == PUBLISH_TYPE:
        on_publish(load, c)
    elif first == PUBACK_FIRST or first == PUBCOMP_FIRST:
        acknowledged(load, c)
    elif first == PUBREC_FIRST:
        if c.input.size > 2 and c.input.head[2] >= FAILURE:
            acknowledged(load, c)
        else:
            reply(load, c, PUBREL_FIRST, packet_id)
    elif first == PUBREL_FIRST:
        reply(load, c, PUBCOMP_FIRST, packet_id)
    elif first == PINGRESP_FIRST:
        c.pinged = False
    elif first == SUBACK_FIRST and c.phase == SUBSCRIBING:
        if c.input.last >= FAILURE:
            load.codes[<int>CODE_SUBACK][c.input.last] += 1
            fail(load, c, SUBSCRIBE_REFUSED)
        else:
            become_ready(load, c)
    elif first == DISCONNECT_FIRST:
        load.codes[<int>CODE_DISCONNECT][c.input.head[0]] += 1
        fail(load, c, DISCONNECTED)
    else:
        fail(load, c, MALFORMED)


cdef void on_connack(Load *load, Client *c) noexcept nogil:
    cdef uint8_t code = c.input.head[1]
    if c.input.size < 2:
        fail(load, c, MALFORMED)
    elif code:
        load.codes[<int>CODE_CONNACK][code] += 1
        fail(load, c, REJECTED)
    else:
        record(load.connack_times, load.now - c.since)
        record(load.entry_times, load.now - c.opened)
        if c.input.properties.given:
            c.keepalive = <int64_t>c.input.properties.keep_alive * KEEPALIVE_NS
        established(load, c)


cdef void on_publish(Load *load, Client *c) noexcept nogil:
    cdef uint8_t qos = (c.input.first >> 1) & 3
    load.counts.received += 1
    if qos:
        reply(load, c, PUBACK_FIRST if qos == 1 else PUBREC_FIRST, c.input.packet_id)
    if load.job == PINGPONG and c.asked and c.phase == READY:
        answered(load, c)


cdef void acknowledged(Load *load, Client *c) noexcept nogil:
    """The target has taken a message, or has refused it (MQTT 5: a code behind the identifier)."""
    if c.input.size > 2 and c.input.head[2] >= FAILURE:
        load.faults[<int>MESSAGE_REFUSED] += 1
        load.codes[<int>CODE_PUBACK][c.input.head[2]] += 1
    if load.job == PUBLISH and c.asked:
        answered(load, c)


cdef void answered(Load *load, Client *c) noexcept nogil:
    record(
        load.acknowledgements if load.job == PUBLISH else load.round_trips, load.now - c.asked
    )
    c.asked = 0
    load.waiting -= 1
    load.counts.answered += 1
    if c.due or not timed(load):
        publish(load, c, c.due)
