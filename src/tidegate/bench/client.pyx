"""The life of one connection: connect, CONNECT, CONNACK, perhaps SUBSCRIBE, messages, end.

Every step ends in a count or in a time, and every way to go wrong in one of `Fault`, once. Nothing
here holds the GIL.
"""

from libc.errno cimport (
    EADDRNOTAVAIL,
    EAGAIN,
    ECONNREFUSED,
    ECONNRESET,
    EHOSTUNREACH,
    EINPROGRESS,
    EINTR,
    EMFILE,
    ENETUNREACH,
    ENFILE,
    EPIPE,
    ETIMEDOUT,
    errno,
)
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from tidegate.bench.histogram cimport record
from tidegate.bench.input cimport BROKEN, MORE, Split, split
from tidegate.bench.types cimport (
    CLOSED,
    CLOSED_EARLY,
    CONNECT_TIMED_OUT,
    CONNECTING,
    ENDED,
    IDLE,
    INTRODUCING,
    MALFORMED,
    MESSAGE_REFUSED,
    NO_DESCRIPTOR,
    NO_PORT,
    OTHER,
    PINGPONG,
    PUBLISH,
    READ_SIZE,
    READY,
    REFUSED,
    REJECTED,
    RESET,
    RETRYING,
    SUBSCRIBE_REFUSED,
    SUBSCRIBING,
    UNREACHABLE,
    Client,
    Fault,
    Load,
    Texts,
)
from tidegate.engine.linux cimport (
    AF_UNIX,
    CLOCK_MONOTONIC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_MOD,
    EPOLLERR,
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT,
    IP_BIND_ADDRESS_NO_PORT,
    IPPROTO_IP,
    IPPROTO_TCP,
    MSG_NOSIGNAL,
    SO_ERROR,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    bind,
    clock_gettime,
    close,
    connect,
    epoll_ctl,
    epoll_event,
    getsockopt,
    recv,
    send,
    setsockopt,
    sockaddr,
    socket,
    socklen_t,
    ssize_t,
    timespec,
)


cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    cdef struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen

    ssize_t sendmsg(int fd, const msghdr *message, int flags)

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


cdef int64_t read_clock() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef inline const char *text_of(Texts *texts, Client *c, uint32_t *size) noexcept nogil:
    cdef uint64_t start = texts.starts[c.index]
    size[0] = <uint32_t>(texts.starts[c.index + 1] - start)
    return texts.data + start


cdef void want(Load *load, Client *c, int op, bint writing) noexcept nogil:
    cdef epoll_event event
    event.events = (EPOLLIN | EPOLLOUT) if writing else EPOLLIN
    event.data.u64 = c.index
    c.writing = writing
    if epoll_ctl(load.epoll, op, c.fd, &event) != 0:
        fail(load, c, OTHER)


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
    c.pinged = False
    c.asked = c.due = 0
    c.phase = CONNECTING
    load.opening += 1
    c.since = load.now = read_clock()
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
    cdef uint32_t length
    cdef const char *text
    getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &size)
    if error:
        fail(load, c, fault_of(error))
        return
    record(load.connect_times, load.now - c.since)
    load.counts.open += 1
    c.phase = INTRODUCING
    c.since = load.now
    want(load, c, EPOLL_CTL_MOD, False)
    if c.phase != INTRODUCING:
        return
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
    if load.subscribes.data is not NULL:
        c.phase = SUBSCRIBING
        c.since = load.now
        text = text_of(&load.subscribes, c, &length)
        send_bytes(load, c, text, length)
        return
    become_ready(load, c)


cdef void become_ready(Load *load, Client *c) noexcept nogil:
    c.phase = READY
    if load.counts.ready == 0:
        # The schedule has waited for somebody to send.
        load.next_message = max(load.next_message, load.now)
    load.counts.ready += 1
    if load.reconnect:
        leave(load, c)
        wait_in_line(load, c)
    elif not load.silent:
        begin_sending(load, c)


cdef void begin_sending(Load *load, Client *c) noexcept nogil:
    """The first message, where there is no schedule for it."""
    if load.message_period:
        return
    if load.job == PINGPONG or (load.job == PUBLISH and load.qos):
        publish(load, c, 0)
    elif load.job == PUBLISH:
        want(load, c, EPOLL_CTL_MOD, True)


# --- sending ---


cdef void send_bytes(Load *load, Client *c, const char *data, uint32_t size) noexcept nogil:
    """Send, or put behind what the socket has not taken yet."""
    cdef ssize_t n = 0
    c.spoken = load.now
    if c.out_end == c.out_start:
        n = send(c.fd, data, size, MSG_NOSIGNAL)
        if n < 0 and errno != EAGAIN and errno != EINTR:
            fail(load, c, fault_of(errno))
            return
        n = max(n, 0)
        load.counts.bytes_sent += <uint64_t>n
    if <uint32_t>n < size:
        keep(load, c, data + n, size - <uint32_t>n)


cdef void keep(Load *load, Client *c, const char *data, uint32_t size) noexcept nogil:
    cdef char *grown = <char *>realloc(c.out, c.out_end + size)
    if grown is NULL:
        fail(load, c, OTHER)
        return
    c.out = grown
    memcpy(c.out + c.out_end, data, size)
    c.out_end += size
    if not c.writing:
        want(load, c, EPOLL_CTL_MOD, True)


cdef void flush(Load *load, Client *c) noexcept nogil:
    """The socket can be written."""
    cdef ssize_t n
    if c.out_end > c.out_start:
        n = send(c.fd, c.out + c.out_start, c.out_end - c.out_start, MSG_NOSIGNAL)
        if n < 0:
            if errno != EAGAIN and errno != EINTR:
                fail(load, c, fault_of(errno))
            return
        load.counts.bytes_sent += <uint64_t>n
        c.out_start += <uint32_t>n
        if c.out_start < c.out_end:
            return
        drop_out(c)
    if load.job == PUBLISH and load.message_period == 0 and load.qos == 0 and c.phase == READY:
        if may_send(load):
            publish(load, c, 0)
            return
    want(load, c, EPOLL_CTL_MOD, False)


cdef void drop_out(Client *c) noexcept nogil:
    free(c.out)
    c.out = NULL
    c.out_start = c.out_end = 0


cdef bint may_send(Load *load) noexcept nogil:
    return load.limit == 0 or load.counts.sent < load.limit


cdef void publish(Load *load, Client *c, int64_t due) noexcept nogil:
    """Send a message; `due` is when it should have left, if an answer was waited for till now."""
    cdef iovec parts[2]
    cdef msghdr message
    cdef uint32_t size, n
    cdef const char *head = text_of(&load.heads, c, &size)
    cdef ssize_t sent
    if not may_send(load):
        return
    if load.id_tail:
        memcpy(load.head, head, size)
        head = load.head
        c.packet_id = c.packet_id + 1 if c.packet_id != 0xFFFF else 1
        load.head[size - load.id_tail] = <char>(c.packet_id >> 8)
        load.head[size - load.id_tail + 1] = <char>(c.packet_id & 0xFF)
    load.now = read_clock()
    c.spoken = load.now
    c.due = 0
    load.counts.sent += 1
    if load.job == PINGPONG or load.qos:
        c.asked = due if due else load.now
        c.awaited = load.payload_size
        load.waiting += 1
    parts[0].iov_base = <void *>head
    parts[0].iov_len = size
    parts[1].iov_base = <void *>load.payload
    parts[1].iov_len = load.payload_size
    memset(&message, 0, sizeof(message))
    message.msg_iov = parts
    message.msg_iovlen = 2
    sent = sendmsg(c.fd, &message, MSG_NOSIGNAL)
    if sent < 0 and errno != EAGAIN and errno != EINTR:
        fail(load, c, fault_of(errno))
        return
    n = <uint32_t>max(sent, 0)
    load.counts.bytes_sent += n
    if n < size:
        keep(load, c, head + n, size - n)
        n = size
    if c.phase == READY and n - size < load.payload_size:
        keep(load, c, load.payload + (n - size), load.payload_size - (n - size))


cdef void ping(Load *load, Client *c) noexcept nogil:
    c.pinged = True
    send_bytes(load, c, b"\xc0\x00", 2)


cdef void reply(Load *load, Client *c, uint8_t first, uint16_t packet_id) noexcept nogil:
    cdef char packet[4]
    packet[0] = <char>first
    packet[1] = 2
    packet[2] = <char>(packet_id >> 8)
    packet[3] = <char>(packet_id & 0xFF)
    send_bytes(load, c, packet, 4)


# --- receiving ---


cdef void on_event(Load *load, Client *c, uint32_t events) noexcept nogil:
    load.now = read_clock()
    if c.phase == CONNECTING:
        connected(load, c)
        return
    if c.phase < CONNECTING or c.phase == ENDED:
        return
    if events & (EPOLLIN | EPOLLHUP | EPOLLERR):
        receive(load, c)
    if events & EPOLLOUT and c.phase > CONNECTING and c.phase != ENDED:
        flush(load, c)


cdef void receive(Load *load, Client *c) noexcept nogil:
    cdef ssize_t n = recv(c.fd, load.buffer, READ_SIZE, 0)
    cdef const uint8_t *at = <const uint8_t *>load.buffer
    cdef const uint8_t *end
    cdef Split found
    if n < 0:
        if errno != EAGAIN and errno != EINTR:
            fail(load, c, fault_of(errno))
        return
    if n == 0:
        fail(load, c, CLOSED if c.phase == READY else CLOSED_EARLY)
        return
    load.counts.bytes_received += <uint64_t>n
    if load.raw:
        on_echo(load, c, <uint32_t>n)
        return
    end = at + n
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
            fail(load, c, SUBSCRIBE_REFUSED)
        else:
            become_ready(load, c)
    elif first == DISCONNECT_FIRST:
        fail(load, c, CLOSED)
    else:
        fail(load, c, MALFORMED)


cdef void on_connack(Load *load, Client *c) noexcept nogil:
    cdef uint8_t code = c.input.head[1]
    if c.input.size < 2:
        fail(load, c, MALFORMED)
    elif code:
        load.codes[code] += 1
        fail(load, c, REJECTED)
    else:
        record(load.connack_times, load.now - c.since)
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
    if load.job == PUBLISH and c.asked:
        answered(load, c)


cdef void answered(Load *load, Client *c) noexcept nogil:
    record(
        load.acknowledgements if load.job == PUBLISH else load.round_trips, load.now - c.asked
    )
    c.asked = 0
    load.waiting -= 1
    load.counts.answered += 1
    if load.message_period == 0 or c.due:
        publish(load, c, c.due)


# --- end ---


cdef Fault fault_of(int error) noexcept nogil:
    if error == ECONNREFUSED:
        return REFUSED
    if error == ETIMEDOUT:
        return CONNECT_TIMED_OUT
    if error == ECONNRESET or error == EPIPE:
        return RESET
    if error == EHOSTUNREACH or error == ENETUNREACH:
        return UNREACHABLE
    # A Unix socket whose queue is full says EAGAIN, and its address is all there is to be out of.
    if error == EADDRNOTAVAIL:
        return NO_PORT
    if error == EMFILE or error == ENFILE:
        return NO_DESCRIPTOR
    return REFUSED if error == EAGAIN else OTHER


cdef void fail(Load *load, Client *c, Fault fault) noexcept nogil:
    if c.phase == ENDED or c.phase <= RETRYING:
        return
    load.faults[<int>fault] += 1
    drop(load, c)
    if load.reconnect:
        c.phase = RETRYING
        c.since = load.now


cdef void leave(Load *load, Client *c) noexcept nogil:
    """End as a client does who has finished; what waits to be sent is not waited for."""
    if not load.raw and c.phase > INTRODUCING and c.out_end == c.out_start:
        send(c.fd, b"\xe0\x00", 2, MSG_NOSIGNAL)
    drop(load, c)


cdef void drop(Load *load, Client *c) noexcept nogil:
    if c.phase == CONNECTING or c.phase == INTRODUCING:
        load.opening -= 1
    if c.phase > CONNECTING:
        load.counts.open -= 1
    if c.phase == READY:
        load.counts.ready -= 1
    if c.asked:
        c.asked = 0
        load.waiting -= 1
    c.due = 0
    if c.fd >= 0:
        close(c.fd)
        c.fd = -1
    drop_out(c)
    c.phase = ENDED
