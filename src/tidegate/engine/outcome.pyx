"""What Python and the engine tell each other: outcomes of decisions one way, reports the other."""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free

from tidegate.engine.tls_client cimport ClientTls
from tidegate.engine.tls_context cimport Context
from tidegate.engine.types cimport (
    CLIENT,
    FAILED,
    LINGER_MS,
    RELAY_BUFFER,
    UPSTREAM,
    Session,
    Terms,
)

# In the order of types.Reason.
REASONS = (
    "client_closed",
    "upstream_closed",
    "client_error",
    "upstream_error",
    "timed_out",
    "refused",
    "killed",
    "failed",
    "no_handshake",
)


cdef void drop_terms(Terms *terms) noexcept nogil:
    if terms is NULL:
        return
    terms.refs -= 1
    if terms.refs == 0:
        free(terms)


cdef class Relay:
    def __cinit__(
        self,
        *,
        int64_t timeout_ms,
        uint64_t buffer_size,
        uint64_t upload_rate=0,
        uint64_t download_rate=0,
        bint half_close=False,
        bint nodelay=True,
        int64_t send_timeout_ms=0,
    ):
        if timeout_ms <= 0 or buffer_size == 0:
            raise ValueError("timeout_ms and buffer_size are positive")
        self.terms = <Terms *>calloc(1, sizeof(Terms))
        if self.terms is NULL:
            raise MemoryError
        self.terms.refs = 1
        self.terms.timeout_ms = timeout_ms
        self.terms.buffer_size = <unsigned int>min(buffer_size, <uint64_t>RELAY_BUFFER)
        self.terms.rates[CLIENT] = upload_rate
        self.terms.rates[UPSTREAM] = download_rate
        self.terms.half_close = half_close
        self.terms.nodelay = nodelay
        self.terms.send_ms = send_timeout_ms

    def __dealloc__(self):
        drop_terms(self.terms)


cdef class Need:
    def __init__(self, unsigned int size, long timeout_ms=0):
        self.size = size
        self.timeout_ms = timeout_ms


cdef class Say:
    def __init__(
        self,
        bytes data not None,
        *,
        unsigned int take=0,
        unsigned int need=1,
        unsigned int size=0,
        long timeout_ms=0,
        long send_ms=LINGER_MS,
        bint idle=False,
        object session=None,
    ):
        if need == 0 or send_ms <= 0:
            raise ValueError("need and send_ms are positive")
        self.data = data
        self.take = take
        self.need = need
        self.size = size
        self.timeout_ms = timeout_ms
        self.send_ms = send_ms
        self.idle = idle
        self.session = session


cdef class Pass:
    def __cinit__(
        self,
        session not None,
        *,
        release=None,
        bint asks_accept=False,
        bint idle_counts=False,
        long header_timeout_ms=0,
        unsigned int preread_size=0,
        long preread_timeout_ms=0,
        Context tls=None,
    ):
        self.session = session
        self.release = release
        self.asks_accept = asks_accept
        self.idle_counts = idle_counts
        self.header_timeout_ms = header_timeout_ms
        self.preread_size = preread_size
        self.preread_timeout_ms = preread_timeout_ms
        self.tls = tls


cdef class Tell:
    def __init__(self, bytes data not None, *, unsigned int take=0, unsigned int need=1):
        if need == 0:
            raise ValueError("need is positive")
        self.data = data
        self.take = take
        self.need = need


cdef class Connect:
    def __init__(
        self,
        bytes address not None,
        *,
        Relay relay not None,
        long timeout_ms,
        bytes local not None=b"",
        bytes first not None=b"",
        bint keepalive=False,
        bint notify=False,
        bint hears=False,
        bint transparent=False,
        unsigned int take=0,
        unsigned int answer_size=0,
        long answer_ms=0,
        long idle_ms=0,
        ClientTls tls=None,
        unsigned int plain=0,
        long long upload=-1,
        long body_ms=0,
    ):
        if len(address) < 2:
            raise ValueError("no packed address")
        self.address = address
        self.relay = relay
        self.timeout_ms = timeout_ms
        self.local = local
        self.first = first
        self.keepalive = keepalive
        self.notify = notify
        self.hears = hears
        self.transparent = transparent
        self.take = take
        self.answer_size = answer_size
        self.answer_ms = answer_ms
        self.idle_ms = idle_ms
        if plain > len(first):
            raise ValueError("more plain bytes than there are")
        self.tls = tls
        self.plain = plain
        self.upload = max(upload, -1)
        self.body_ms = body_ms if body_ms > 0 else answer_ms

    cpdef Connect opened(
        self,
        bytes first,
        unsigned int take,
        unsigned int answer_size,
        long answer_ms,
        long idle_ms,
        long long upload,
        long body_ms,
    ):
        cdef Connect plan = Connect.__new__(Connect)
        if first is None:
            raise TypeError("there are no bytes to begin with")
        plan.address = self.address
        plan.relay = self.relay
        plan.timeout_ms = self.timeout_ms
        plan.local = self.local
        plan.first = self.first + first if self.first else first
        plan.keepalive = self.keepalive
        # Without an answer to inspect this is when a session learns that it may forget.
        plan.notify = self.notify or not answer_size
        plan.hears = self.hears and not answer_size
        plan.transparent = self.transparent
        plan.take = take
        plan.answer_size = answer_size
        plan.answer_ms = answer_ms if answer_ms > 0 else self.relay.terms.timeout_ms
        plan.idle_ms = idle_ms
        plan.tls = self.tls
        plan.plain = self.plain
        plan.upload = max(upload, -1)
        plan.body_ms = body_ms if body_ms > 0 else plan.answer_ms
        return plan


cdef class Framing:
    def __init__(
        self,
        *,
        unsigned long long remaining=0,
        bytes mask not None=b"",
        bint final=True,
        bint continues=False,
        unsigned long long limit=0,
    ):
        if remaining and len(mask) != 4:
            raise ValueError("a frame that goes on has a mask of 4 bytes")
        self.remaining = remaining
        self.mask = mask
        self.final = final
        self.continues = continues
        self.limit = limit


cdef class Accept:
    def __init__(
        self,
        *,
        bytes data not None=b"",
        unsigned int take=0,
        long idle_ms=-1,
        long long download=-1,
        bint again=False,
        upload=None,
        unsigned int tap=0,
        Relay relay=None,
        Framing framing=None,
    ):
        self.data = data
        self.take = take
        self.idle_ms = idle_ms
        self.download = max(download, -1)
        self.again = again
        self.uploads = upload is not None
        self.upload = max(upload, -1) if self.uploads else -1
        self.tap = tap
        self.relay = relay
        self.framing = framing


cdef class Heard:
    def __init__(self, *, long idle_ms=-1, Relay relay=None):
        self.idle_ms = idle_ms
        self.relay = relay


cdef class Refuse:
    def __init__(self, int status, bytes data not None=b""):
        self.status = status
        self.data = data


cdef class Later:
    pass


LATER = Later()
Outcome = Need | Say | Connect | Tell | Accept | Refuse | Later


cdef class Report:
    cdef void fill(self, Session *s):
        self.reason = REASONS[s.reason]
        self.status = s.status if s.status else (500 if s.reason == FAILED else 200)
        self.error = s.broken_by
        self.bytes_received = s.ends[CLIENT].received
        self.bytes_sent = s.ends[CLIENT].sent
        self.upstream_bytes_received = s.ends[UPSTREAM].received
        self.upstream_bytes_sent = s.ends[UPSTREAM].sent
        self.session_ms = s.ended - s.started
        self.connect_ms = s.connect_ms
        self.first_byte_ms = s.first_byte_ms
        self.upstream_ms = s.ended - s.try_started if s.try_started else -1
        self.upload_left = self.download_left = -1
        self.streamed = 0
        if s.exchange is not NULL:
            self.upload_left = s.exchange.left[CLIENT]
            self.download_left = s.exchange.left[UPSTREAM]
            self.streamed = s.exchange.streamed
