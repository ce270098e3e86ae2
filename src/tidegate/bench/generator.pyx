"""The loop of the load generator: who connects when, who sends when, and what has taken too long.

One thread, one epoll descriptor, one timer. `run` returns to Python when its time is over, when
all is done, or when a signal came.
"""

import itertools
from array import array

from libc.errno cimport errno
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from tidegate.bench.client cimport (
    begin_sending,
    on_event,
    open_client,
    period_of,
    wait_in_line,
)
from tidegate.bench.histogram cimport Histogram
from tidegate.bench.output cimport (
    behind,
    fail,
    leave,
    may_send,
    ping,
    publish,
    read_clock,
    timed,
)
from tidegate.bench.tls cimport TargetTls, forget_session
from tidegate.bench.types cimport (
    BEHIND_NS,
    CONNECT_TIMED_OUT,
    CONNECTING,
    ENDED,
    EVENTS,
    FAULTS,
    INTRODUCING,
    KINDS,
    NO_ANSWER,
    NO_CONNACK,
    NOT_TAKEN,
    NOT_UPGRADED,
    PAUSE_NS,
    READ_SIZE,
    READY,
    REASONS,
    RECORD_SIZE,
    RETRYING,
    SECURING,
    SENDS,
    SUBSCRIBING,
    SWEEP_NS,
    TLS_TIMED_OUT,
    UPGRADING,
    Client,
    Counts,
    Job,
    Load,
    Reason,
    Texts,
)
from tidegate.engine.linux cimport (
    CLOCK_MONOTONIC,
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLLIN,
    close,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    epoll_wait,
    timespec,
)


cdef extern from "<sys/timerfd.h>" nogil:
    enum:
        TFD_CLOEXEC
        TFD_NONBLOCK
        TFD_TIMER_ABSTIME

    cdef struct itimerspec:
        timespec it_interval
        timespec it_value

    int timerfd_create(int clock, int flags)
    int timerfd_settime(int fd, int flags, const itimerspec *new, itimerspec *old)

JOBS = ("conn", "pub", "sub", "pingpong")
FAULT_NAMES = (
    "refused",
    "connect timed out",
    "unreachable",
    "no local port",
    "no descriptor",
    "reset",
    "no TLS handshake",
    "closed in the TLS handshake",
    "TLS failed",
    "no answer to the upgrade",
    "upgrade refused",
    "closed by WebSocket",
    "closed before CONNACK",
    "closed",
    "rejected by CONNACK",
    "no CONNACK",
    "subscription refused",
    "no answer",
    "message not taken",
    "message refused",
    "disconnected by the target",
    "malformed",
    "other",
)
CODED = ("CONNACK", "SUBACK", "PUBACK", "DISCONNECT")
assert len(FAULT_NAMES) == FAULTS
assert len(CODED) == KINDS

cdef enum:
    # In the place of a client's index in an event.
    TIMER = 0xFFFFFFFF


# --- what is due ---


cdef bint may_connect(Load *load) noexcept nogil:
    return load.queue_size and load.opening < load.at_once and not load.finishing


cdef void connect_due(Load *load) noexcept nogil:
    cdef Client *c
    while may_connect(load) and load.now >= load.next_connect:
        c = &load.clients[load.queue[load.queue_start]]
        load.queue_start = (load.queue_start + 1) % load.count
        load.queue_size -= 1
        if load.connect_period:
            load.next_connect += load.connect_period
            if load.now - load.next_connect > BEHIND_NS:
                load.next_connect = load.now
        open_client(load, c)


cdef void send_due(Load *load) noexcept nogil:
    """Each message of the schedule goes to the next connection that is ready."""
    cdef Client *c
    cdef int64_t due
    cdef int64_t period = period_of(load)
    cdef int left = SENDS
    if load.now - load.next_message > BEHIND_NS:
        load.counts.late += <uint64_t>((load.now - load.next_message) // period)
        load.next_message = load.now
    while load.now >= load.next_message and left and load.counts.ready and may_send(load):
        left -= 1
        due = load.next_message
        load.next_message += period
        load.cursor = (load.cursor + 1) % <uint32_t>load.counts.ready
        c = &load.clients[load.ready[load.cursor]]
        if c.asked == 0 and not behind(c):
            publish(load, c, 0)
        elif c.due == 0:
            c.due = due
        else:
            load.counts.late += 1


cdef void come_back(Load *load, Client *c) noexcept nogil:
    """One that was lost stands in line again; those before it may have been gone for long."""
    load.counts.returning -= 1
    if load.queue_size == 0 and not load.reconnect:
        load.next_connect = max(load.next_connect, load.now)
    wait_in_line(load, c)


cdef void sweep(Load *load) noexcept nogil:
    """Time-outs, keep-alives, and those that may try again."""
    cdef uint32_t i
    cdef Client *c
    load.next_sweep = load.now + SWEEP_NS
    for i in range(load.count):
        c = &load.clients[i]
        if c.phase == READY:
            if c.asked and load.now - c.asked > load.timeout:
                fail(load, c, NO_ANSWER)
            elif c.sending and load.now - c.moved > load.timeout:
                fail(load, c, NOT_TAKEN)
            elif c.keepalive and load.now - c.spoken > c.keepalive:
                if c.pinged:
                    fail(load, c, NO_ANSWER)
                else:
                    ping(load, c)
        elif c.phase == RETRYING:
            if load.now - c.since > load.retry_period:
                come_back(load, c)
        elif c.phase == CONNECTING:
            if load.now - c.since > load.timeout:
                fail(load, c, CONNECT_TIMED_OUT)
        elif c.phase == SECURING:
            if load.now - c.since > load.timeout:
                fail(load, c, TLS_TIMED_OUT)
        elif c.phase == UPGRADING:
            if load.now - c.since > load.timeout:
                fail(load, c, NOT_UPGRADED)
        elif c.phase == INTRODUCING or c.phase == SUBSCRIBING:
            if load.now - c.since > load.timeout:
                fail(load, c, NO_CONNACK if c.phase == INTRODUCING else NO_ANSWER)


cdef bint scheduled(Load *load) noexcept nogil:
    return timed(load) and load.counts.ready and may_send(load)


cdef void set_timer(Load *load, int64_t until) noexcept nogil:
    """Wake up at the next thing that is due; epoll's own milliseconds are too coarse for it."""
    cdef itimerspec when
    cdef int64_t at = min(until, load.next_sweep)
    if may_connect(load):
        at = min(at, load.next_connect)
    if scheduled(load):
        at = min(at, load.next_message)
    if at == load.timer_at:
        return
    load.timer_at = at
    at = max(at, <int64_t>1)
    memset(&when, 0, sizeof(when))
    when.it_value.tv_sec = at // 1000000000
    when.it_value.tv_nsec = at % 1000000000
    timerfd_settime(load.timer, TFD_TIMER_ABSTIME, &when, NULL)


# --- the loop ---


cdef bint done(Load *load) noexcept nogil:
    """All messages of the limit, or all at the end, are sent whole and answered."""
    if load.waiting or load.sending:
        return False
    return load.finishing or (load.limit and load.counts.begun >= load.limit)


cdef int turn(Load *load, epoll_event *events) noexcept nogil:
    """Wait for events and serve them; their number, negative when a signal came."""
    cdef int i
    cdef int count = epoll_wait(load.epoll, events, EVENTS, -1)
    cdef uint32_t index
    load.now = read_clock()
    for i in range(count):
        index = <uint32_t>events[i].data.u64
        if index == TIMER:
            # It was set to a time that has passed; setting it anew makes it silent.
            load.timer_at = 0
        else:
            on_event(load, &load.clients[index], events[i].events)
    return count


cdef void after_pause(Load *load, int64_t pause) noexcept nogil:
    """What was due or awaited while nobody ran this is not the target's debt."""
    cdef uint32_t i
    cdef Client *c
    load.next_message += pause
    if pause < PAUSE_NS:
        return
    for i in range(load.count):
        c = &load.clients[i]
        c.since += pause
        c.opened += pause
        c.moved += pause
        if c.asked:
            c.asked += pause
        if c.due:
            c.due += pause


cdef void run(Load *load, epoll_event *events, int64_t until) noexcept nogil:
    load.now = read_clock()
    after_pause(load, load.now - load.paused)
    while load.now < until and not done(load):
        connect_due(load)
        if scheduled(load):
            send_due(load)
        if load.now >= load.next_sweep:
            sweep(load)
        set_timer(load, until)
        if turn(load, events) < 0:
            break
    load.paused = load.now


cdef class TextsOwner:
    """Keeps the bytes that `Texts` points to."""

    cdef Texts texts
    cdef bytes data
    cdef object starts

    def __cinit__(self, pieces):
        cdef uint64_t[:] view
        if not pieces:
            return
        self.data = b"".join(pieces)
        self.starts = array("Q", itertools.accumulate(map(len, pieces), initial=0))
        view = self.starts
        self.texts.data = self.data
        self.texts.starts = &view[0]


cdef class Generator:
    cdef Load load
    cdef epoll_event *events
    cdef readonly Histogram connect_times, tls_times, upgrade_times, connack_times
    cdef readonly Histogram entry_times, round_trips, acknowledgements
    cdef TextsOwner connects, subscribes, heads, requests
    cdef bytes payload, address, sources, accepts
    cdef TargetTls tls

    def __cinit__(
        self,
        *,
        str job,
        uint32_t count,
        bytes address,
        sources=(),
        connects=(),
        subscribes=(),
        heads=(),
        uint32_t id_tail=0,
        bytes payload=b"",
        int qos=0,
        bint reconnect=False,
        bint silent=False,
        int64_t connect_period=0,
        int64_t message_period=0,
        int64_t client_period=0,
        int64_t retry_period=100_000_000,
        uint16_t retries=0,
        int64_t timeout=10_000_000_000,
        int64_t keepalive=0,
        uint64_t limit=0,
        uint32_t at_once=500,
        TargetTls tls=None,
        websocket=None,
    ):
        cdef Load *load = &self.load
        cdef epoll_event event
        memset(load, 0, sizeof(Load))
        load.epoll = load.timer = -1
        self.check(count, sources, connects, subscribes, heads)
        load.job = <Job><int>JOBS.index(job)
        load.count = count
        load.raw = not connects
        load.qos = qos
        load.reconnect = reconnect
        load.silent = silent
        load.id_tail = id_tail
        load.connect_period = connect_period
        load.message_period = message_period
        load.client_period = client_period
        load.retry_period = retry_period
        load.retries = retries
        load.timeout = timeout
        load.keepalive = keepalive
        load.limit = limit
        load.at_once = at_once
        self.tls = tls
        if tls is not None:
            tls.lend(load)
        if websocket is not None:
            connects, subscribes, heads, payload = self.frame(
                websocket, connects, subscribes, heads, payload
            )
        self.borrow(address, sources, payload)
        self.connects = TextsOwner(connects)
        self.subscribes = TextsOwner(subscribes)
        self.heads = TextsOwner(heads or [b""] * count)
        load.connects = self.connects.texts
        load.subscribes = self.subscribes.texts
        load.heads = self.heads.texts
        self.make_room(max(map(len, heads), default=0))
        load.epoll = epoll_create1(EPOLL_CLOEXEC)
        load.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)
        event.events = EPOLLIN
        event.data.u64 = TIMER
        if epoll_ctl(load.epoll, EPOLL_CTL_ADD, load.timer, &event) != 0:
            raise OSError(errno, "cannot make a timer")
        load.now = load.next_connect = load.next_message = load.paused = read_clock()
        load.next_sweep = load.now + SWEEP_NS

    cdef check(self, uint32_t count, sources, connects, subscribes, heads):
        if count == 0:
            raise ValueError("no connections")
        for pieces in (connects, subscribes, heads):
            if pieces and len(pieces) != count:
                raise ValueError(f"{len(pieces)} texts for {count} connections")
        if len(set(map(len, sources))) > 1:
            raise ValueError("sources of several address families")

    cdef frame(self, websocket, connects, subscribes, heads, bytes payload):
        """Put everything that is sent often into frames."""
        cdef const uint8_t *mask = websocket.mask
        self.requests = TextsOwner(websocket.requests)
        self.accepts = websocket.accepts
        self.load.websocket = True
        self.load.requests = self.requests.texts
        self.load.accepts = self.accepts
        self.load.mask = [mask[0], mask[1], mask[2], mask[3]]
        return (
            [websocket.packet(one) for one in connects],
            [websocket.packet(one) for one in subscribes],
            [websocket.message_head(one, size=len(payload)) for one in heads],
            websocket.payload(payload),
        )

    cdef borrow(self, bytes address, sources, bytes payload):
        self.address = address
        self.sources = b"".join(sources)
        self.payload = payload
        self.load.address = self.address
        self.load.address_size = <uint32_t>len(address)
        self.load.sources = self.sources
        self.load.sources_count = <uint32_t>len(sources)
        self.load.source_size = <uint32_t>len(sources[0]) if sources else 0
        self.load.payload = self.payload
        self.load.payload_size = <uint32_t>len(payload)

    cdef make_room(self, size_t longest_head):
        cdef Load *load = &self.load
        cdef uint32_t i
        load.clients = <Client *>calloc(load.count, sizeof(Client))
        load.queue = <uint32_t *>malloc(load.count * sizeof(uint32_t))
        load.ready = <uint32_t *>malloc(load.count * sizeof(uint32_t))
        load.buffer = <char *>malloc(READ_SIZE)
        load.head = <char *>malloc(longest_head + 1)
        load.record = <char *>malloc(RECORD_SIZE)
        self.events = <epoll_event *>malloc(EVENTS * sizeof(epoll_event))
        if (
            load.clients is NULL
            or load.queue is NULL
            or load.ready is NULL
            or load.buffer is NULL
            or load.head is NULL
            or load.record is NULL
            or self.events is NULL
        ):
            raise MemoryError
        self.connect_times = Histogram()
        self.tls_times = Histogram()
        self.upgrade_times = Histogram()
        self.connack_times = Histogram()
        self.entry_times = Histogram()
        self.round_trips = Histogram()
        self.acknowledgements = Histogram()
        load.connect_times = &self.connect_times.buckets
        load.tls_times = &self.tls_times.buckets
        load.upgrade_times = &self.upgrade_times.buckets
        load.connack_times = &self.connack_times.buckets
        load.entry_times = &self.entry_times.buckets
        load.round_trips = &self.round_trips.buckets
        load.acknowledgements = &self.acknowledgements.buckets
        for i in range(load.count):
            load.clients[i].fd = -1
            load.clients[i].index = i
            wait_in_line(load, &load.clients[i])

    def __dealloc__(self):
        cdef uint32_t i
        self.close()
        if self.load.clients is not NULL:
            for i in range(self.load.count):
                forget_session(&self.load.clients[i])
        free(self.load.clients)
        free(self.load.queue)
        free(self.load.ready)
        free(self.load.buffer)
        free(self.load.head)
        free(self.load.record)
        free(self.events)

    def run(self, double seconds):
        """Generate load for so long, or until it is done or a signal comes."""
        cdef int64_t until = INT64_MAX
        if self.load.epoll < 0:
            raise ValueError("the generator is closed")
        if seconds < 1e9:
            until = read_clock() + <int64_t>(seconds * 1e9)
        with nogil:
            run(&self.load, self.events, until)

    def speak(self):
        """End the silence: from the next `run` on messages are sent."""
        cdef uint32_t i
        self.load.silent = False
        self.load.next_message = self.load.paused
        self.load.now = read_clock()
        for i in range(self.load.count):
            if self.load.clients[i].phase == READY:
                begin_sending(&self.load, &self.load.clients[i])

    def finish(self):
        """Begin nothing new: the next `run` ends when what is on its way has been answered."""
        self.load.silent = self.load.finishing = True

    def close(self):
        """End all connections as clients do that have finished."""
        cdef uint32_t i
        if self.load.clients is not NULL:
            for i in range(self.load.count):
                if self.load.clients[i].phase >= CONNECTING and self.load.clients[i].phase != ENDED:
                    leave(&self.load, &self.load.clients[i])
        if self.load.timer >= 0:
            close(self.load.timer)
        if self.load.epoll >= 0:
            close(self.load.epoll)
        self.load.timer = self.load.epoll = -1

    @property
    def settled(self):
        """Whether no connection waits for its turn or for its CONNACK."""
        return self.load.queue_size == 0 and self.load.opening == 0

    @property
    def done(self):
        """Whether all messages of the limit, or of the end, were sent whole and answered."""
        return bool(done(&self.load))

    def counts(self):
        """What has happened so far, by name."""
        cdef Counts counts = self.load.counts
        return counts

    def faults(self):
        """How often each thing went wrong, by its name; what never did is left out."""
        return {
            name: self.load.faults[number]
            for number, name in enumerate(FAULT_NAMES)
            if self.load.faults[number]
        }

    def codes(self):
        """How often each kind of packet bore each code that refused something."""
        return {
            kind: {
                code: self.load.codes[at][code] for code in range(256) if self.load.codes[at][code]
            }
            for at, kind in enumerate(CODED)
            if any(self.load.codes[at])
        }

    def reasons(self):
        """How often something failed for each reason: its name, a code, a verdict on a certificate.

        The code of TLS is OpenSSL's; see `tls.reason_words`.
        """
        cdef Reason reason
        found = {}
        for at in range(REASONS):
            reason = self.load.reasons[<int>at]
            if reason.count:
                key = FAULT_NAMES[reason.fault], reason.code, reason.verdict
                found[key] = reason.count
        return found

    @property
    def tls_terms(self):
        """Version and cipher of the last handshake; "" both before the first."""
        return self.load.tls_version.decode(), self.load.tls_cipher.decode()

    @property
    def connect_seconds(self):
        """From the first try to the last that was let in for the first time; 0: nobody was."""
        if self.load.last_let_in == 0:
            return 0.0
        return (self.load.last_let_in - self.load.first_try) / 1e9
