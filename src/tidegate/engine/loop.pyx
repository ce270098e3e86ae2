"""The engine as Python sees it: the turn of the loop, decisions, listeners, handles."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport ENOMEM, errno
from libc.stdint cimport INT64_MAX, int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from tidegate.engine.carry_out cimport become, carry_out, set_terms, settle
from tidegate.engine.ends cimport arm, bury, finish, leave_upstream, linger_over, occupy
from tidegate.engine.exchange cimport drop_exchange
from tidegate.engine.linux cimport (
    EFD_CLOEXEC,
    EFD_NONBLOCK,
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    EPOLLIN,
    IPPROTO_TCP,
    TCP_NODELAY,
    close,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    eventfd,
    getsockname,
    setsockopt,
    sockaddr,
    sockaddr_storage,
    socklen_t,
)
from tidegate.engine.listener cimport (
    empty_queue,
    free_listener,
    leave_listener,
    pause_accepting,
    pause_if_full,
    unwatch_listener,
    watch_listener,
)
from tidegate.engine.outcome cimport Heard, Need, Report, drop_terms
from tidegate.engine.relay cimport due
from tidegate.engine.session cimport refuse, shake_on
from tidegate.engine.slab cimport CHUNK, handle_of, slab_at, slab_find, slab_free
from tidegate.engine.timers cimport timers_free
from tidegate.engine.tls cimport drop_tls, tls_free
from tidegate.engine.tls_context cimport Context, change_context
from tidegate.engine.tls_facts cimport tls_fact
from tidegate.engine.tls_questions cimport asked_name, give_answer, greet
from tidegate.engine.turn cimport empty_graveyard, read_clock, run, use_tls
from tidegate.engine.types cimport (
    CALL_ACCEPT,
    CALL_ANSWER,
    CALL_ANSWERED,
    CALL_CERTIFICATES,
    CALL_CONNECTED,
    CALL_DONE,
    CALL_END,
    CALL_GREETED,
    CALL_INSPECT,
    CALL_OVERHEAR,
    CALL_PICK,
    CALL_PREREAD,
    CLIENT,
    DECIDING,
    DECISIONS,
    ENDED,
    EVENTS,
    FREE,
    HANDSHAKE,
    KILLED,
    LINGER,
    NO_HANDSHAKE,
    PREREAD,
    REFUSING,
    RELAY,
    RELAY_BUFFER,
    SAYING,
    TAG_PYTHON,
    UPSTREAM,
    Core,
    Counters,
    Exchange,
    Listener,
    Pending,
    Session,
)

COUNTERS = (
    "active",
    "connections",
    "reading",
    "writing",
    "waiting",
    "",
    "",
    "",
    "accepted",
    "handled",
    "requests",
)
SERVED_AT_ONCE = DECISIONS
cdef enum:
    # The status of sessions that a fault of ours ends, and of those who are told that we go.
    INTERNAL_ERROR = 500
    SERVICE_UNAVAILABLE = 503

CALLS = (
    "accept",
    "preread",
    "pick",
    "connected",
    "answer",
    "inspect",
    "end",
    "done",
    "overhear",
    "certificates",
    "greeted",
    "answered",
)


cdef class Engine:
    cdef Core core
    cdef epoll_event *events
    cdef uint64_t[:] counters
    cdef uint64_t[:] serial
    cdef object notice
    cdef object trouble
    cdef uint64_t served[12]
    cdef uint32_t listener_ids

    def __cinit__(self, *, uint32_t connections, counters, serial, notice, trouble):
        memset(&self.core, 0, sizeof(Core))
        self.core.epoll = self.core.wake_fd = self.core.handshakes = -1
        self.counters = counters
        self.serial = serial
        self.notice = notice
        self.trouble = trouble
        if self.counters.nbytes < sizeof(Counters) or self.serial.shape[0] < 1:
            raise ValueError("counters or serial too short")
        self.core.counters = <Counters *>&self.counters[0]
        self.core.serial = &self.serial[0]
        self.core.limit = connections
        self.core.accepting = True
        self.core.buffer = <char *>malloc(RELAY_BUFFER)
        self.events = <epoll_event *>malloc(EVENTS * sizeof(epoll_event))
        if self.core.buffer is NULL or self.events is NULL:
            raise MemoryError
        self.core.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.core.epoll < 0:
            raise OSError(errno, "epoll_create1() failed")
        self.core.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self.core.wake_fd < 0:
            raise OSError(errno, "eventfd() failed")
        read_clock(&self.core)

    def __dealloc__(self):
        self.close()

    def close(self):
        """Close every session and descriptor of the engine, without another word to anybody."""
        cdef uint32_t i
        cdef Session *s
        cdef Listener *listener
        if self.core.buffer is NULL:
            # Closed before, or never made.
            return
        for i in range(self.core.slab.chunks_count * CHUNK):
            s = slab_at(&self.core.slab, i)
            if s.state == FREE:
                continue
            if s.state == LINGER:
                linger_over(&self.core, s)
            elif s.state != ENDED:
                finish(&self.core, s, KILLED, False)
            if s.owner is not NULL:
                Py_DECREF(<object>s.owner)
                s.owner = NULL
            if s.releases is not NULL:
                Py_DECREF(<object>s.releases)
                s.releases = NULL
            drop_terms(s.terms)
            drop_exchange(s)
            drop_tls(s.tls)
            tls_free(&s.ends[CLIENT])
            tls_free(&s.ends[UPSTREAM])
            free(s.fault)
        while self.core.listeners is not NULL:
            listener = self.core.listeners
            self.core.listeners = listener.next
            Py_DECREF(<object>listener.factory)
            drop_tls(listener.tls)
            free(listener)
        timers_free(&self.core.timers)
        slab_free(&self.core.slab)
        self.core.queue_head = self.core.queue_tail = self.core.graveyard = NULL
        self.core.running = NULL
        free(self.core.buffer)
        free(self.events)
        self.core.buffer = NULL
        self.events = NULL
        if self.core.wake_fd >= 0:
            close(self.core.wake_fd)
        if self.core.handshakes >= 0:
            close(self.core.handshakes)
        if self.core.epoll >= 0:
            close(self.core.epoll)
        self.core.wake_fd = self.core.epoll = self.core.handshakes = -1

    # --- asyncio's selector ---

    def watch(self, int fd, uint32_t events):
        self._control(EPOLL_CTL_ADD, fd, events)

    def rewatch(self, int fd, uint32_t events):
        self._control(EPOLL_CTL_MOD, fd, events)

    def unwatch(self, int fd):
        self._control(EPOLL_CTL_DEL, fd, 0)

    cdef _control(self, int op, int fd, uint32_t events):
        cdef epoll_event event
        event.events = events
        event.data.u64 = (<uint64_t>fd << 3) | <uint64_t>TAG_PYTHON
        if epoll_ctl(self.core.epoll, op, fd, &event) != 0:
            raise OSError(errno, "epoll_ctl() failed")

    def select(self, double timeout):
        """Serve native events until Python is needed; `timeout` is in seconds, negative is none."""
        cdef int64_t deadline = INT64_MAX
        cdef int ready, i
        cdef list result
        read_clock(&self.core)
        if timeout >= 0:
            deadline = self.core.now + <int64_t>(timeout * 1000 + 0.999)
        with nogil:
            ready = run(&self.core, self.events, deadline)
        result = []
        for i in range(ready):
            result.append((<int>(self.events[i].data.u64 >> 3), self.events[i].events))
        if self.core.queue_head is not NULL or self.core.pauses:
            result.append((self.core.wake_fd, EPOLLIN))
        return result

    # --- decisions ---

    @property
    def wake_fd(self):
        return self.core.wake_fd

    @property
    def connections(self):
        return self.core.limit

    @connections.setter
    def connections(self, uint32_t limit):
        self.core.limit = limit
        pause_if_full(&self.core)

    @property
    def accepting(self):
        return self.core.accepting

    @property
    def active(self):
        return self.core.slab.used

    @property
    def calls(self):
        return dict(zip(CALLS, [self.served[i] for i in range(12)]))

    def serve(self):
        """Serve the sessions that wait for Python, at most SERVED_AT_ONCE of them."""
        cdef int _turn
        cdef Session *s
        read_clock(&self.core)
        if self.core.pauses:
            self.core.pauses = 0
            self.notice(self.core.accept_error)
        for _turn in range(DECISIONS):
            s = self.core.queue_head
            if s is NULL:
                break
            self.core.queue_head = s.next
            if s.next is NULL:
                self.core.queue_tail = NULL
            s.queued = False
            try:
                self.decide(s)
            except MemoryError:
                # The clients that wait are not let in to share it; the pause is told of.
                self.give_up(s)
                pause_accepting(&self.core, ENOMEM)
            except Exception as error:  # noqa: BLE001
                # One session's trouble stays its own.
                self.give_up(s)
                self.report_trouble(error)
        with nogil:
            empty_graveyard(&self.core)

    cdef report_trouble(self, error):
        try:
            self.trouble(error)
        except Exception:  # noqa: BLE001
            # There is no memory for the words, as a rule; the session is to end in any case.
            return

    cdef give_up(self, Session *s):
        """End a session whose decision raised; where it was still its turn, not without a word."""
        s.status = INTERNAL_ERROR
        if s.owner is not NULL and s.state == DECIDING:
            self.say_farewell(s, INTERNAL_ERROR)
        if s.state != REFUSING:
            finish(&self.core, s, KILLED, True)

    cdef decide(self, Session *s):
        cdef int calls = s.calls
        cdef object owner, outcome
        cdef Pending *first
        cdef Report report
        s.calls = 0
        if calls & CALL_CONNECTED and s.owner is not NULL:
            self.tell(<object>s.owner, 3)
        if calls & CALL_ANSWERED and s.state == RELAY:
            self.tell(<object>s.owner, 11)
        if calls & CALL_OVERHEAR and s.state == RELAY:
            self.show(s)
        if calls & CALL_END:
            self.end(s)
            return
        owner = self.owner_of(s)
        if calls & CALL_ACCEPT:
            carry_out(&self.core, s, self.ask_accept(s, owner))
            return
        leave_listener(&self.core, s)
        if calls & CALL_GREETED:
            self.served[10] += 1
            owner.greeted(asked_name(s.ends[CLIENT].ssl))
            greet(s.ends[CLIENT].ssl)
            shake_on(&self.core, s)
            return
        if calls & CALL_CERTIFICATES:
            self.served[9] += 1
            # Until certificates are given it is refused.
            give_answer(s.ends[CLIENT].ssl, None)
            owner.certificates()
            shake_on(&self.core, s)
            return
        if calls & CALL_PREREAD:
            self.served[1] += 1
            first = s.preread
            outcome = owner.preread(
                first.data[: first.end] if first is not NULL else b"", bool(s.ends[CLIENT].ended)
            )
        elif calls & CALL_PICK:
            self.served[2] += 1
            outcome = owner.pick()
        elif calls & CALL_ANSWER:
            self.served[4] += 1
            outcome = owner.answer(s.error, s.connect_ms)
        elif calls & CALL_INSPECT:
            self.served[5] += 1
            first = s.answer
            outcome = owner.inspect(
                first.data[: first.end] if first is not NULL else b"", bool(s.ends[UPSTREAM].ended)
            )
        elif calls & CALL_DONE:
            self.served[7] += 1
            report = Report.__new__(Report)
            report.fill(s)
            outcome = owner.done(report)
        else:
            return
        carry_out(&self.core, s, outcome)

    cdef owner_of(self, Session *s):
        """The Python half, made when it is first needed."""
        if s.owner is NULL:
            owner = (<object>s.listener.factory)(handle_of(s))
            Py_INCREF(owner)
            s.owner = <PyObject *>owner
        return <object>s.owner

    cdef ask_accept(self, Session *s, owner):
        cdef Pending *header = s.preread if s.headed else NULL
        cdef bytes data = b""
        if header is not NULL:
            data = header.data[: header.end]
            free(header)
            s.preread = NULL
        self.served[0] += 1
        return owner.accept(data, s.error)

    cdef tell(self, owner, int news):
        self.served[news] += 1
        try:
            if news == 3:
                owner.connected()
            else:
                owner.answered()
        except Exception as error:  # noqa: BLE001
            # It decides nothing, so whatever it was the session goes on.
            self.report_trouble(error)

    cdef show(self, Session *s):
        """Let Python see what the client said in passing."""
        cdef Exchange *x = s.exchange
        cdef Pending *seen = x.tapped if x is not NULL else NULL
        cdef bint ended
        cdef object answer = None
        if seen is NULL or x.tap == 0:
            return
        ended = seen.end == x.tap
        self.served[8] += 1
        try:
            answer = (<object>s.owner).overhear(seen.data[: seen.end], ended)
        except Exception as error:  # noqa: BLE001
            # As with `connected`.
            self.report_trouble(error)
        if isinstance(answer, Need) and not ended:
            x.tap_need = max((<Need>answer).size, seen.end + 1)
            return
        x.tap = 0
        free(x.tapped)
        x.tapped = NULL
        if isinstance(answer, Heard):
            set_terms(s, (<Heard>answer).relay)
            if (<Heard>answer).idle_ms >= 0:
                s.idle_ms = (<Heard>answer).idle_ms
                s.active = self.core.now
            arm(&self.core, s, due(s))
        settle(s)

    cdef end(self, Session *s):
        cdef object owner
        cdef Report report
        try:
            if s.owner is NULL and s.reason != NO_HANDSHAKE:
                return
            owner = self.owner_of(s)
            s.owner = NULL
            Py_DECREF(owner)
            self.served[6] += 1
            report = Report.__new__(Report)
            report.fill(s)
            owner.end(report)
        finally:
            leave_listener(&self.core, s)
            self.let_go(s)
            tls_free(&s.ends[CLIENT])
            tls_free(&s.ends[UPSTREAM])
            bury(&self.core, s)

    cdef let_go(self, Session *s):
        """Call what is to be called at the end."""
        cdef list releases
        if s.releases is NULL:
            return
        releases = <list>s.releases
        s.releases = NULL
        Py_DECREF(releases)
        for release in releases:
            try:
                release()
            except Exception as error:  # noqa: BLE001
                self.report_trouble(error)

    def resume(self, uint64_t handle, outcome):
        """Bring the outcome that `LATER` promised; False when the session is gone meanwhile."""
        cdef Session *s = slab_find(&self.core.slab, handle)
        if s is NULL or not s.later or s.state != DECIDING:
            return False
        read_clock(&self.core)
        carry_out(&self.core, s, outcome)
        return True

    def close_session(self, uint64_t handle):
        """End a session now; False when it is gone already."""
        cdef Session *s = slab_find(&self.core.slab, handle)
        if s is NULL or s.state == ENDED or s.state == LINGER:
            return False
        finish(&self.core, s, KILLED, True)
        return True

    def owners(self, uint32_t first, uint32_t count):
        """Tell of the sessions in some places, from `first` on; None when there are none beyond."""
        cdef uint32_t i
        cdef Session *s
        cdef uint32_t places = self.core.slab.chunks_count * CHUNK
        cdef list found = []
        if first >= places:
            return None
        for i in range(first, min(places, first + count)):
            s = slab_at(&self.core.slab, i)
            if s.state == FREE or s.state == ENDED or s.state == LINGER:
                continue
            if s.owner is not NULL:
                found.append((handle_of(s), <object>s.owner, s.state == RELAY))
            elif s.listener is not NULL and s.listener.removed:
                found.append((handle_of(s), None, False))
        return found

    def close_sessions(self):
        """End every session now, each with its `end`; those without a relay hear a farewell."""
        cdef uint32_t i
        cdef Session *s
        read_clock(&self.core)
        for i in range(self.core.slab.chunks_count * CHUNK):
            s = slab_at(&self.core.slab, i)
            if s.state == FREE or s.state == ENDED or s.state == LINGER:
                continue
            if s.owner is not NULL and s.state not in (HANDSHAKE, RELAY, REFUSING, SAYING):
                self.say_farewell(s, SERVICE_UNAVAILABLE)
            finish(&self.core, s, KILLED, False)
        while self.core.queue_head is not NULL:
            self.serve()

    def close_idle(self):
        """End the sessions that wait between two requests; how many there were."""
        cdef uint32_t i
        cdef Session *s
        cdef int count = 0
        read_clock(&self.core)
        for i in range(self.core.slab.chunks_count * CHUNK):
            s = slab_at(&self.core.slab, i)
            if s.state == PREREAD and s.waiting and s.exchange is not NULL and s.exchange.idle:
                finish(&self.core, s, KILLED, True)
                count += 1
        return count

    cdef say_farewell(self, Session *s, uint16_t status):
        cdef bytes words
        try:
            words = (<object>s.owner).farewell(status)
        except Exception as error:  # noqa: BLE001
            self.report_trouble(error)
            return
        if not words:
            return
        leave_upstream(&self.core, s)
        s.status = status
        refuse(&self.core, s, PyBytes_AS_STRING(words), <uint32_t>PyBytes_GET_SIZE(words))

    # --- listeners ---

    def listen(
        self,
        int fd,
        session,
        *,
        bint shared=True,
        bint nodelay=True,
        bint asks_accept=False,
        bint idle_counts=False,
        int64_t header_timeout_ms=0,
        uint32_t preread_size=0,
        int64_t preread_timeout_ms=0,
        Context tls=None,
    ):
        """Accept from a listening socket, which stays the caller's; gives the listener's number."""
        cdef int flag = nodelay
        if tls is not None:
            use_tls(&self.core)
        cdef Listener *listener = <Listener *>calloc(1, sizeof(Listener))
        if listener is NULL:
            raise MemoryError
        # Sockets that are accepted inherit it; a Unix socket has none.
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &flag, sizeof(flag))
        self.listener_ids += 1
        listener.id = self.listener_ids
        listener.fd = fd
        listener.shared = shared
        listener.quota = 1
        listener.asks_accept = asks_accept
        listener.idle_counts = idle_counts
        listener.header_timeout_ms = header_timeout_ms
        listener.preread_size = preread_size
        listener.preread_timeout_ms = preread_timeout_ms
        if tls is not None:
            listener.tls = tls.tls
            listener.tls.refs += 1
        if self.core.accepting and not watch_listener(&self.core, listener):
            drop_tls(listener.tls)
            free(listener)
            raise OSError(errno, "epoll_ctl() failed")
        Py_INCREF(session)
        listener.factory = <PyObject *>session
        listener.next = self.core.listeners
        self.core.listeners = listener
        occupy(&self.core, 1)
        pause_if_full(&self.core)
        return listener.id

    def unlisten(self, uint32_t number, *, bint take=False):
        """Accept no more; the socket may be closed at once, sessions in the queue go on.

        With `take` those who wait in the socket's queue are accepted first.
        """
        cdef Listener *listener = self.core.listeners
        while listener is not NULL and (listener.id != number or listener.removed):
            listener = listener.next
        if listener is NULL:
            raise KeyError(number)
        if take:
            read_clock(&self.core)
            with nogil:
                empty_queue(&self.core, listener)
        unwatch_listener(&self.core, listener)
        listener.removed = True
        occupy(&self.core, -1)
        free_listener(&self.core, listener)

    # --- what Python may ask of a session ---

    def client_address(self, uint64_t handle):
        """The packed address that the client connected from."""
        cdef Session *s = self.find(handle)
        return (<char *>&s.address)[: s.address_size]

    def set_client_address(self, uint64_t handle, bytes address not None):
        """Let another packed address stand for the one that the client connected from."""
        cdef Session *s = self.find(handle)
        if not 2 <= len(address) <= <int>sizeof(s.address):
            raise ValueError("no packed address")
        s.address_size = <uint32_t>len(address)
        memcpy(&s.address, <char *>address, s.address_size)

    def server_address(self, uint64_t handle):
        """The packed address that the client connected to."""
        return self.name_of(self.find(handle).ends[CLIENT].fd)

    def upstream_local_address(self, uint64_t handle):
        """The packed address that the upstream sees us at."""
        return self.name_of(self.find(handle).ends[UPSTREAM].fd)

    def secure(self, uint64_t handle):
        """Whether the client's side has TLS."""
        return self.find(handle).ends[CLIENT].ssl is not NULL

    def tls(self, uint64_t handle, str name):
        """The value of `$ssl_NAME`; None where it is empty, or without TLS."""
        cdef Session *s = self.find(handle)
        if s.ends[CLIENT].ssl is NULL:
            return None
        return tls_fact(s.ends[CLIENT].ssl, name)

    def give_certificates(self, uint64_t handle, pairs):
        """Let a session that asks for its `certificates` use these; raises TlsError."""
        cdef Session *s = self.find(handle)
        if s.ends[CLIENT].ssl is NULL:
            raise ValueError("this session has no TLS")
        give_answer(s.ends[CLIENT].ssl, pairs)

    def use_context(self, uint64_t handle, Context context not None):
        """Let the handshake of a session that was `greeted` go by these rules."""
        cdef Session *s = self.find(handle)
        if s.state != HANDSHAKE or s.ends[CLIENT].ssl is NULL:
            raise ValueError("this session is in no handshake")
        change_context(s.ends[CLIENT].ssl, context)
        context.tls.refs += 1
        drop_tls(s.tls)
        s.tls = context.tls

    def serve_as(
        self,
        uint64_t handle,
        session not None,
        *,
        uint32_t preread_size=0,
        int64_t preread_timeout_ms=0,
    ):
        """Let another server's session be the Python half from here on."""
        cdef Session *s = self.find(handle)
        cdef uint32_t kept = s.preread.end if s.preread is not NULL else 0
        if s.owner is NULL or s.arriving or s.state not in (HANDSHAKE, DECIDING):
            raise ValueError("this session is beyond its choice")
        become(s, session)
        s.preread_size = max(preread_size, kept) if preread_size else 0
        s.preread_ms = preread_timeout_ms

    def fault(self, uint64_t handle):
        """What went wrong in TLS last, once: a level of the error log and words, or None."""
        cdef Session *s = self.find(handle)
        if s.fault is NULL:
            return None
        words = s.fault.data[: s.fault.end].decode("utf-8", "replace")
        free(s.fault)
        s.fault = NULL
        return s.fault_level, words

    def number(self, uint64_t handle):
        """The session's number, unique in the instance."""
        return self.find(handle).number

    def progress(self, uint64_t handle):
        """A Report of a session that still runs."""
        cdef Report report = Report.__new__(Report)
        cdef Session *s = self.find(handle)
        read_clock(&self.core)
        if s.state != ENDED and s.state != LINGER:
            s.ended = self.core.now
        report.fill(s)
        return report

    cdef Session *find(self, uint64_t handle) except NULL:
        cdef Session *s = slab_find(&self.core.slab, handle)
        if s is NULL:
            raise KeyError("the session is gone")
        return s

    cdef name_of(self, int fd):
        cdef sockaddr_storage address
        cdef socklen_t size = sizeof(address)
        if getsockname(fd, <sockaddr *>&address, &size) != 0:
            raise OSError(errno, "getsockname() failed")
        return (<char *>&address)[:size]
