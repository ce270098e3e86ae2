"""What a connection sends, and how it ends.

A message counts as sent when the socket has taken its last byte. What it has not taken waits here:
first the client's own bytes up to the mark, then the end of the payload, which all clients share,
then its own bytes from the mark on.
"""

from libc.errno cimport (
    EADDRNOTAVAIL,
    EAGAIN,
    ECONNREFUSED,
    ECONNRESET,
    EHOSTUNREACH,
    EINTR,
    EMFILE,
    ENETUNREACH,
    ENFILE,
    EPIPE,
    EPROTO,
    ETIMEDOUT,
    errno,
)
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from tidegate.bench.tls cimport end_tls, write_tls
from tidegate.bench.types cimport (
    CONNECT_TIMED_OUT,
    CONNECTING,
    ENDED,
    INTRODUCING,
    NO_DESCRIPTOR,
    NO_PORT,
    OTHER,
    PINGPONG,
    PUBLISH,
    READY,
    RECORD_SIZE,
    REFUSED,
    RESET,
    RETRYING,
    SECURING,
    TLS_FAILED,
    UNREACHABLE,
    Client,
    Fault,
    Load,
    Texts,
)
from tidegate.bench.websocket cimport SMALL, SMALL_HEAD, small_frame
from tidegate.engine.linux cimport (
    CLOCK_MONOTONIC,
    EPOLL_CTL_MOD,
    EPOLLIN,
    EPOLLOUT,
    MSG_NOSIGNAL,
    clock_gettime,
    close,
    epoll_ctl,
    epoll_event,
    send,
    ssize_t,
    timespec,
)


cdef enum:
    # Kinds of frames of WebSocket (RFC 6455, 5.2).
    BINARY = 2
    CLOSE = 8
    PONG = 10

cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    cdef struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen

    ssize_t sendmsg(int fd, const msghdr *message, int flags)


cdef int64_t read_clock() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


cdef const char *text_of(Texts *texts, Client *c, uint32_t *size) noexcept nogil:
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


# --- messages ---


cdef bint behind(Client *c) noexcept nogil:
    """Whether something waits for the socket."""
    return c.out_end > c.out_start or c.left > 0


cdef bint timed(Load *load) noexcept nogil:
    """Whether messages leave by a schedule."""
    return load.message_period > 0 or load.client_period > 0


cdef bint may_send(Load *load) noexcept nogil:
    return not load.silent and (load.limit == 0 or load.counts.begun < load.limit)


cdef void publish(Load *load, Client *c, int64_t due) noexcept nogil:
    """Send a message; `due` is when it should have left, if something was waited for till now."""
    cdef uint32_t size
    cdef const char *head = text_of(&load.heads, c, &size)
    c.due = 0
    if not may_send(load):
        return
    if load.id_tail:
        memcpy(load.head, head, size)
        head = load.head
        c.packet_id = c.packet_id + 1 if c.packet_id != 0xFFFF else 1
        put_packet_id(load, load.head + size - load.id_tail, c.packet_id)
    load.now = read_clock()
    c.spoken = c.moved = load.now
    load.counts.begun += 1
    load.sending += 1
    c.sending = True
    if load.job == PINGPONG or load.qos:
        c.asked = due if due else load.now
        c.awaited = load.payload_size
        load.waiting += 1
    put(load, c, head, size)


cdef void put_packet_id(Load *load, char *at, uint16_t packet_id) noexcept nogil:
    """The mask of a frame, all zeros where there is none, is counted from the payload on."""
    at[0] = <char>(packet_id >> 8 ^ load.mask[-load.id_tail & 3])
    at[1] = <char>((packet_id & 0xFF) ^ load.mask[(1 - load.id_tail) & 3])


cdef void put(Load *load, Client *c, const char *head, uint32_t size) noexcept nogil:
    """Send head and payload, or put them behind what waits."""
    cdef iovec parts[2]
    cdef ssize_t n = 0
    cdef uint32_t taken
    if not behind(c):
        parts[0].iov_base = <void *>head
        parts[0].iov_len = size
        parts[1].iov_base = <void *>load.payload
        parts[1].iov_len = load.payload_size
        n = send_parts(load, c, parts, 2)
        if n < 0:
            return
    taken = min(<uint32_t>n, size)
    c.left = load.payload_size - (<uint32_t>n - taken)
    if taken < size:
        keep(load, c, head + taken, size - taken)
    if not c.sending:
        return
    c.mark = c.out_end
    if not behind(c):
        message_taken(load, c)
    elif not c.writing:
        want(load, c, EPOLL_CTL_MOD, True)


cdef void message_taken(Load *load, Client *c) noexcept nogil:
    c.sending = False
    load.sending -= 1
    load.counts.sent += 1


cdef ssize_t send_parts(Load *load, Client *c, iovec *parts, size_t count) noexcept nogil:
    """What the socket took, in bytes; -1 when the connection has failed."""
    cdef msghdr message
    cdef ssize_t n
    if c.ssl is not NULL:
        n = send_records(load, c, parts, count)
    else:
        memset(&message, 0, sizeof(message))
        message.msg_iov = parts
        message.msg_iovlen = count
        n = sendmsg(c.fd, &message, MSG_NOSIGNAL)
    if n >= 0:
        load.counts.bytes_sent += <uint64_t>n
        return n
    if errno == EAGAIN or errno == EINTR:
        return 0
    fail(load, c, fault_of(errno))
    return -1


cdef ssize_t send_records(Load *load, Client *c, iovec *parts, size_t count) noexcept nogil:
    """As sendmsg, through TLS: a message that fits is one record."""
    cdef size_t done = 0
    cdef size_t size
    cdef ssize_t n
    while True:
        size = gather(load.record, parts, count, done)
        if size == 0:
            return <ssize_t>done
        n = write_tls(load, c, load.record, size)
        if n < 0:
            return <ssize_t>done if done and errno == EAGAIN else -1
        done += <size_t>n


cdef size_t gather(char *to, iovec *parts, size_t count, size_t skip) noexcept nogil:
    """Copy what fits into a record, but for the first `skip` bytes; the number of bytes."""
    cdef size_t have = 0
    cdef size_t i, size
    for i in range(count):
        if skip >= parts[i].iov_len:
            skip -= parts[i].iov_len
            continue
        size = min(parts[i].iov_len - skip, <size_t>RECORD_SIZE - have)
        memcpy(to + have, <char *>parts[i].iov_base + skip, size)
        skip = 0
        have += size
    return have


# --- other packets ---


cdef void send_bytes(Load *load, Client *c, const char *data, uint32_t size) noexcept nogil:
    """Send, or put behind what the socket has not taken yet."""
    cdef iovec part
    cdef ssize_t n = 0
    c.spoken = load.now
    if not behind(c):
        part.iov_base = <void *>data
        part.iov_len = size
        n = send_parts(load, c, &part, 1)
        if n < 0:
            return
    if <uint32_t>n < size:
        keep(load, c, data + n, size - <uint32_t>n)
        if c.phase != ENDED and not c.writing:
            want(load, c, EPOLL_CTL_MOD, True)


cdef void send_packet(Load *load, Client *c, const char *data, uint32_t size) noexcept nogil:
    """Send a small packet, in a frame where there are any."""
    cdef char frame[SMALL_HEAD + SMALL]
    if load.websocket:
        size = small_frame(load, BINARY, data, size, frame)
        data = frame
    send_bytes(load, c, data, size)


cdef void pong(Load *load, Client *c) noexcept nogil:
    """Answer the Ping that stands in the client's frame."""
    cdef char frame[SMALL_HEAD + SMALL]
    cdef uint32_t size
    size = small_frame(load, PONG, <char *>c.frame.control, c.frame.control_size, frame)
    send_bytes(load, c, frame, size)


cdef void reply(Load *load, Client *c, uint8_t first, uint16_t packet_id) noexcept nogil:
    cdef char packet[4]
    packet[0] = <char>first
    packet[1] = 2
    packet[2] = <char>(packet_id >> 8)
    packet[3] = <char>(packet_id & 0xFF)
    send_packet(load, c, packet, 4)


cdef void ping(Load *load, Client *c) noexcept nogil:
    c.pinged = True
    send_packet(load, c, b"\xc0\x00", 2)


cdef void keep(Load *load, Client *c, const char *data, uint32_t size) noexcept nogil:
    cdef char *grown = <char *>realloc(c.out, c.out_end + size)
    if grown is NULL:
        fail(load, c, OTHER)
        return
    c.out = grown
    memcpy(c.out + c.out_end, data, size)
    c.out_end += size


cdef void flush(Load *load, Client *c) noexcept nogil:
    """The socket can be written."""
    if behind(c):
        take_out(load, c)
        if c.phase == ENDED or c.phase == RETRYING or behind(c):
            return
        drop_out(c)
    if c.phase == READY and c.asked == 0 and may_send(load):
        if c.due:
            publish(load, c, c.due)
            return
        if load.job == PUBLISH and load.qos == 0 and not timed(load):
            publish(load, c, 0)
            return
    want(load, c, EPOLL_CTL_MOD, False)


cdef void take_out(Load *load, Client *c) noexcept nogil:
    """Let the socket take from what waits for it."""
    cdef iovec parts[3]
    cdef uint32_t mark = c.mark if c.sending else c.out_end
    cdef uint32_t n, part
    cdef ssize_t taken
    parts[0].iov_base = c.out + c.out_start
    parts[0].iov_len = mark - c.out_start
    parts[1].iov_base = <void *>(load.payload + (load.payload_size - c.left))
    parts[1].iov_len = c.left
    parts[2].iov_base = c.out + mark
    parts[2].iov_len = c.out_end - mark
    taken = send_parts(load, c, parts, 3)
    if taken <= 0:
        return
    c.moved = load.now
    n = <uint32_t>taken
    part = min(n, mark - c.out_start)
    c.out_start += part
    n -= part
    part = min(n, c.left)
    c.left -= part
    c.out_start += n - part
    if c.sending and c.left == 0 and c.out_start >= mark:
        message_taken(load, c)


cdef void drop_answer(Client *c) noexcept nogil:
    free(c.answer)
    c.answer = NULL
    c.answer_size = 0


cdef void drop_out(Client *c) noexcept nogil:
    free(c.out)
    c.out = NULL
    c.out_start = c.out_end = c.mark = c.left = 0


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
    if error == EPROTO:
        return TLS_FAILED
    return REFUSED if error == EAGAIN else OTHER


cdef void fail(Load *load, Client *c, Fault fault) noexcept nogil:
    if c.phase == ENDED or c.phase <= RETRYING:
        return
    load.faults[<int>fault] += 1
    if c.due:
        load.counts.late += 1
    end_tls(c, False)
    drop(load, c)
    if load.reconnect or (c.let_in and c.retries < load.retries):
        c.retries += 0 if load.reconnect else 1
        c.phase = RETRYING
        c.since = load.now
        load.counts.returning += 1


cdef void leave(Load *load, Client *c) noexcept nogil:
    """End as a client does who has finished; what waits to be sent is not waited for."""
    if not load.raw and c.phase > INTRODUCING and not behind(c):
        say_goodbye(load, c)
    end_tls(c, c.phase > SECURING and not behind(c))
    drop(load, c)


cdef void say_goodbye(Load *load, Client *c) noexcept nogil:
    """A DISCONNECT, and a Close of WebSocket; whether they are heard makes no difference."""
    cdef char frames[2 * (SMALL_HEAD + 2)]
    cdef const char *data = b"\xe0\x00"
    cdef uint32_t size = 2
    if load.websocket:
        size = small_frame(load, BINARY, data, 2, frames)
        # 1000: the purpose is fulfilled (RFC 6455, 7.4.1).
        size += small_frame(load, CLOSE, b"\x03\xe8", 2, frames + size)
        data = frames
    if c.ssl is NULL:
        send(c.fd, data, size, MSG_NOSIGNAL)
    else:
        write_tls(load, c, data, size)


cdef void drop(Load *load, Client *c) noexcept nogil:
    if CONNECTING <= c.phase <= INTRODUCING:
        load.opening -= 1
    if c.phase > CONNECTING:
        load.counts.open -= 1
    if c.phase == READY:
        leave_ready(load, c)
    if c.asked:
        c.asked = 0
        load.waiting -= 1
    if c.sending:
        c.sending = False
        load.sending -= 1
    c.due = 0
    if c.fd >= 0:
        close(c.fd)
        c.fd = -1
    drop_out(c)
    drop_answer(c)
    c.phase = ENDED


cdef void leave_ready(Load *load, Client *c) noexcept nogil:
    """The last one takes its place."""
    cdef uint32_t last
    load.counts.ready -= 1
    last = load.ready[load.counts.ready]
    load.ready[c.place] = last
    load.clients[last].place = c.place
