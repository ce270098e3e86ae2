# What the engine is made of: plain C structs, so that everything from epoll_wait to send runs
# without Python. Times are milliseconds of CLOCK_MONOTONIC; -1 is "not yet".

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from tidegate.engine.linux cimport sockaddr_in6
from tidegate.engine.openssl cimport SSL, SSL_CTX

cdef enum:
    # The relay buffer of a worker: one read never takes more, whatever `proxy_buffer_size` says.
    RELAY_BUFFER = 65536
    # Events taken from the kernel at once; nginx's default too.
    EVENTS = 512
    # Accepts per listener and turn, so that a storm of connects leaves room for running sessions.
    ACCEPTS = 64
    # How long a turn takes up TLS handshakes: a step may cost a millisecond (RSA), and relays wait
    # meanwhile, or a twentieth of that, and then each turn may have several.
    HANDSHAKES_NS = 200000
    # Decisions per turn of asyncio, so that its own timers and readers get their share.
    DECISIONS = 64
    # Turns of epoll_wait without anything for Python before asyncio sees the time again.
    BATCHES = 16
    # Turns that a decision waits for others while handshakes take up the time: to call Python for
    # one session costs several times what it costs for one of many.
    GATHERING = 3
    # How long a side is still read, and its bytes thrown away, after we have said our end: a close
    # with unread bytes makes the kernel send a reset, which destroys what we sent last.
    LINGER_MS = 5000
    # Pause of accepting after the system ran out of descriptors or memory (as nginx pauses).
    ACCEPT_PAUSE_MS = 500

cdef enum:
    # The low bits of an event's data say what the rest is: a descriptor of Python, or a pointer.
    TAG_PYTHON = 0
    TAG_LISTENER = 1
    TAG_HANDSHAKES = 2  # the epoll descriptor of those that still shake hands
    TAG_CLIENT = 3
    TAG_UPSTREAM = 4
    TAG_MASK = 7

cdef enum:
    # The sides of a session.
    CLIENT = 0
    UPSTREAM = 1

cdef enum State:
    FREE = 0
    HEADER  # reading the PROXY protocol header, and not a byte behind it
    HANDSHAKE  # TLS with the client
    PREREAD  # reading the client's first bytes
    DECIDING  # Python has the word
    CONNECTING
    SECURING  # TLS with the upstream
    ANSWERING  # the upstream's first bytes are shown to Python before the client sees them
    RELAY
    SAYING  # our words go to the client, and then its next ones are read
    REFUSING  # our last bytes go to the client
    LINGER  # said our end, waiting for the other's
    ENDED

cdef enum Call:
    # What a session wants of Python; bits, served in this order.
    CALL_ACCEPT = 1
    CALL_PREREAD = 2
    CALL_PICK = 4
    CALL_CONNECTED = 8
    CALL_ANSWER = 16
    CALL_INSPECT = 32
    CALL_END = 64
    CALL_DONE = 128
    CALL_OVERHEAR = 256
    CALL_CERTIFICATES = 512  # in the midst of a client's handshake
    CALL_GREETED = 1024  # as its first message is there
    CALL_ANSWERED = 2048

cdef enum Reason:
    CLIENT_CLOSED = 0
    UPSTREAM_CLOSED
    CLIENT_ERROR
    UPSTREAM_ERROR
    TIMED_OUT
    REFUSED
    KILLED
    FAILED
    NO_HANDSHAKE  # of TLS, with the client

cdef struct Counters:
    # A worker's row of the scoreboard: eight gauges, then totals that only grow.
    uint64_t active  # sessions
    uint64_t connections  # as worker_connections counts them
    uint64_t reading  # requests whose head is being read; Python counts them
    uint64_t writing  # requests that are being answered; Python too
    uint64_t waiting  # sessions that owe the first byte of their (next) request
    uint64_t spare[3]
    uint64_t accepted
    uint64_t handled
    uint64_t requests  # Python counts them

cdef struct Terms:
    # What a relaying session may do; shared, counted.
    int64_t refs
    int64_t timeout_ms
    int64_t send_ms  # how long the client may take nothing of what waits for it; 0 is timeout_ms
    uint64_t rates[2]  # bytes per second read from the client, from the upstream; 0 is no limit
    uint32_t buffer_size
    bint half_close
    bint nodelay

cdef enum Verify:
    # What a peer's certificate has to be.
    VERIFY_OFF = 0
    VERIFY_ON
    VERIFY_OPTIONAL
    VERIFY_OPTIONAL_NO_CA

cdef struct Tls:
    # What the TLS of a listener, or of the way to an upstream, is made of; shared, counted.
    int64_t refs
    SSL_CTX *ctx
    int64_t timeout_ms  # of a handshake
    uint8_t verify  # one of Verify

cdef struct Pending:
    # Bytes that wait for their receiver.
    uint32_t start
    uint32_t end
    char data[0]

cdef struct Frames:
    # A client that speaks WebSocket to an upstream that does not: where in its frames we are.
    uint64_t left  # bytes of the frame's payload that are to come
    uint64_t message  # bytes that the message in hand had in frames before this one
    uint64_t limit  # of a message; 0 is none
    const char *fault  # what rule it broke
    Pending *reply  # our answers, to be sent
    uint16_t code  # of the close that was said, by either; 0 is none
    uint8_t inside  # of a frame's payload; else a head comes
    uint8_t opcode
    uint8_t final  # the frame is its message's last
    uint8_t continues  # the message goes on in another frame
    uint8_t said  # our close is sent
    uint8_t stuck  # answers wait behind other bytes
    uint8_t phase  # where in the mask the next byte is
    uint8_t mask[4]
    uint8_t have  # bytes of the head
    uint8_t head_size
    uint8_t head[14]
    uint8_t control_size
    uint8_t control[125]

cdef struct Exchange:
    # What a session has more whose server tells requests apart.
    int64_t left[2]  # bytes that a side may still send to the other; -1 is any number
    int64_t send_ms  # how long the client may take nothing of our words
    int64_t body_ms  # how long the client may keep an upstream waiting that is to answer
    uint64_t streamed  # bytes of the client that went to the upstream and are not kept
    uint32_t consumed  # of what was preread: what belongs to the request in hand
    uint32_t tap  # bytes of the client that Python may still be shown; 0 is none
    uint32_t tap_need  # and how many it waits for
    uint8_t streams  # the client's bytes go on while the answer is awaited
    uint8_t again  # after this answer the client may ask again
    uint8_t idle  # it owes us nothing: it may ask again, or leave
    Pending *tapped
    Frames *frames  # NULL where the client speaks as the upstream does

cdef struct End:
    # One socket of a session.
    int fd
    uint16_t events  # as registered in epoll, all below EPOLLET; 0 is not registered
    uint8_t ended  # nothing more will be read from it
    uint8_t broken  # nothing more can be written to it
    uint8_t shut  # we have said our end to it
    uint8_t shaking  # in a TLS handshake, and so in the epoll descriptor of those
    uint8_t more  # its TLS holds bytes, or an end, that epoll does not know of
    uint8_t replays  # its TLS begins with what was preread; of a client alone
    uint8_t fault  # errno of a TLS read that came behind bytes
    uint8_t metered  # what is read from it has a rate or a bound, or is shown to Python
    uint8_t reads  # how often its TLS may still read from the socket before others have their turn
    uint8_t chatter  # messages of its TLS that brought no data
    SSL *ssl  # NULL is plain TCP
    Pending *pending  # not yet taken by this side; its sender is not read meanwhile
    int64_t resume_at  # read no sooner (rates); 0 is now
    uint64_t received
    uint64_t sent

cdef struct Listener:
    int fd
    uint32_t id
    int32_t waiting  # sessions that have it still
    bint registered
    uint32_t quota  # accepts at its last turn
    uint64_t turn  # and when that was
    bint shared  # with other workers: exclusive wake-ups
    bint removed
    bint asks_accept
    bint idle_counts  # sessions that have not said a byte are `waiting`
    int64_t header_timeout_ms  # for the PROXY protocol header; 0 is none
    uint32_t preread_size
    int64_t preread_timeout_ms
    Tls *tls  # NULL is plain TCP
    PyObject *factory
    Listener *next

cdef struct Session:
    End ends[2]
    uint32_t index
    uint32_t generation
    uint8_t state
    uint8_t queued
    uint8_t reason
    uint8_t notify
    uint8_t hears  # Python is told of the upstream's first byte as it passes
    uint8_t dead
    uint8_t reasoned  # who ended first is known
    uint8_t later  # Python owes an outcome
    uint8_t headed  # what was read is a PROXY header
    uint8_t arriving  # nothing is behind it yet but the header, or the accept phase
    uint8_t run  # sides, as bits, that are on the run list
    uint8_t fault_level  # as the error log's: 2 is info, 6 crit
    uint8_t idle_counts
    uint8_t waiting  # and counted as such
    uint16_t calls  # bits of Call
    uint16_t status
    int32_t error  # errno of the last failed try, or of reading the header
    int32_t broken_by  # errno that a relay's read failed with, or negative its write; else 0
    int32_t connect_ms
    int32_t first_byte_ms
    int32_t timer  # place in the heap, -1 is none
    uint32_t need  # bytes that preread, or the answer, waits for
    uint32_t preread_size  # and may take at most
    uint32_t address_size
    uint32_t answer_size  # bytes of an answer that may be inspected; 0 is none
    int64_t answer_ms  # how long it may take; without one, the least limit until the first byte
    int64_t idle_ms  # limit on the client's silence; 0 is the terms' limit on both
    int64_t started
    int64_t try_started
    int64_t ended
    int64_t active  # last byte moved, either way; with idle_ms from the client alone
    int64_t until  # deadline of the phase, where it is not the idle limit
    int64_t preread_ms  # how long the preread may take
    uint64_t number
    Terms *terms
    Pending *preread  # the client's first bytes, kept until a node has taken the connection
    Pending *first  # what goes to the upstream before anything else
    Pending *rest  # what the client sent behind that, for the upstream whose answer is accepted
    Pending *answer  # what the upstream said so far
    Exchange *exchange  # NULL where nothing is special
    Tls *tls  # of the handshake that comes, or runs
    Pending *fault  # what went wrong in TLS, for the log
    PyObject *owner
    PyObject *releases  # a list of what is to be called at the end; NULL is none
    Listener *listener  # until the accept phase is over
    Session *next
    Session *run_next
    sockaddr_in6 address

cdef struct Deadline:
    int64_t at
    Session *session

cdef struct Timers:
    Deadline *heap
    uint32_t count
    uint32_t room

cdef struct Slab:
    Session **chunks
    uint32_t chunks_count
    uint32_t used
    Session *free

cdef struct Core:
    # Everything of one engine that runs without Python.
    int epoll
    int handshakes  # an epoll descriptor in the first; -1 until somebody uses TLS
    int wake_fd
    char *buffer
    int64_t now
    uint64_t turn  # of epoll_wait
    Counters *counters
    uint64_t *serial
    uint32_t limit  # worker_connections: clients, upstreams and listeners together
    uint32_t used
    Timers timers
    Slab slab
    Session *queue_head
    Session *queue_tail
    Session *running  # whose TLS holds bytes that epoll does not know of
    Session *graveyard  # ended in this turn, freed after its last event
    Listener *listeners
    bint accepting
    int accept_error  # why accepting pauses: an errno, 0 is worker_connections
    int64_t accept_at  # when to try again; 0 is when a place is free
    uint32_t pauses  # not yet told to Python
