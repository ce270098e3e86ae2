# What the generator is made of. Times are nanoseconds of CLOCK_MONOTONIC; 0 is "not now".

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from tidegate.bench.histogram cimport Buckets
from tidegate.engine.openssl cimport SSL, SSL_CTX, SSL_SESSION

cdef enum:
    EVENTS = 512
    # One read; a 64 KiB message and what stands around it arrive in one.
    READ_SIZE = 262144
    # How often time-outs and keep-alives are looked at.
    SWEEP_NS = 200000000
    # Scheduled messages per turn, so that a generator which fell behind still reads answers.
    SENDS = 512
    # A schedule further behind than this is not made up for: the target would get a burst.
    BEHIND_NS = 1000000000
    # A client speaks when three quarters of a second of its keep-alive's have passed in silence.
    KEEPALIVE_NS = 750000000
    # Time between two runs that is more than that of a status line.
    PAUSE_NS = 50000000
    # What one record of TLS holds (RFC 8446, 5.1).
    RECORD_SIZE = 16384
    # Different reasons for which something failed that are told apart.
    REASONS = 16
    # What a control frame of WebSocket may hold (RFC 6455, 5.5).
    CONTROL_SIZE = 125

cdef enum Job:
    HOLD = 0  # connect and stay
    PUBLISH
    SUBSCRIBE
    PINGPONG

cdef enum Phase:
    IDLE = 0  # not yet, or waits for its turn to connect
    RETRYING
    CONNECTING
    SECURING  # the handshake of TLS
    UPGRADING  # to a WebSocket
    INTRODUCING  # CONNECT is sent
    SUBSCRIBING
    READY
    ENDED

cdef enum Fault:
    REFUSED = 0
    CONNECT_TIMED_OUT
    UNREACHABLE
    NO_PORT
    NO_DESCRIPTOR
    RESET
    TLS_TIMED_OUT
    TLS_CLOSED  # by the target, in the handshake
    TLS_FAILED  # the reasons are counted apart
    NOT_UPGRADED  # in time
    UPGRADE_REFUSED  # the statuses are counted apart
    FRAME_CLOSED  # by a Close of WebSocket; the codes are counted apart
    CLOSED_EARLY  # before the CONNACK
    CLOSED
    REJECTED  # by CONNACK; the codes are counted apart, as are those of other packets
    NO_CONNACK
    SUBSCRIBE_REFUSED
    NO_ANSWER
    NOT_TAKEN  # a message that the target stopped reading in the middle of
    MESSAGE_REFUSED
    DISCONNECTED  # by a DISCONNECT of MQTT 5
    MALFORMED
    OTHER
    FAULTS

cdef enum Kind:
    # Packets that bear a reason.
    CODE_CONNACK = 0
    CODE_SUBACK
    CODE_PUBACK  # and PUBREC
    CODE_DISCONNECT
    KINDS

cdef struct Properties:
    # Those of a CONNACK, read byte by byte; see connack.pyx.
    uint8_t step
    uint8_t name
    uint8_t texts  # still to come of this property
    uint8_t given  # whether keep_alive is
    uint16_t keep_alive  # Server Keep Alive, seconds
    uint32_t left

cdef struct Input:
    # An MQTT packet that arrives in pieces; of its body only what is needed is kept.
    uint8_t stage
    uint8_t first  # type and flags
    uint8_t digits
    uint8_t last  # byte of the body
    uint8_t head[4]  # first bytes of the body
    uint32_t size
    uint32_t left
    uint16_t packet_id  # of a PUBLISH with QoS 1 or 2
    Properties properties

cdef struct Reason:
    # Why something failed, and how often it did so.
    uint8_t fault
    unsigned long code  # OpenSSL's error, an HTTP status, a code of WebSocket
    long verdict  # on the certificate, where that is the reason; the code is 0 then
    uint64_t count

cdef struct Frame:
    # A frame of WebSocket that arrives in pieces.
    uint8_t open  # its head is known
    uint8_t have  # bytes of the head
    uint8_t head[10]
    uint8_t control_size
    uint8_t control[CONTROL_SIZE]
    uint64_t left

cdef struct Client:
    int fd
    SSL *ssl  # while it is connected, where there is TLS
    SSL_SESSION *session  # for its next handshake
    uint32_t index
    uint8_t phase
    uint8_t writing  # epoll tells when it can be written
    uint8_t pinged
    uint8_t sending  # a message that the socket has not taken whole
    uint8_t let_in  # at least once
    uint16_t packet_id
    uint16_t retries  # since it was let in last
    uint32_t place  # among those that are ready
    int64_t keepalive  # its own: a CONNACK may name another one
    int64_t since  # when the phase began
    int64_t opened  # when it began to connect
    int64_t asked  # when the message was sent whose answer is awaited
    int64_t due  # when a message should have been sent, but for that answer
    int64_t spoken  # last time anything was sent
    int64_t moved  # last time the socket took a part of the message
    uint32_t awaited  # bytes of the echo that are still to come
    # What the socket did not take: out up to the mark, the payload's last bytes, out from the mark.
    uint32_t mark
    uint32_t left
    uint32_t out_start
    uint32_t out_end
    char *out
    uint32_t answer_size
    char *answer  # to the upgrade, what there is of its head
    Frame frame
    Input input

cdef struct Texts:
    # One piece of text per connection.
    const char *data
    const uint64_t *starts  # one more than there are texts

cdef struct Counts:
    uint64_t tried
    uint64_t established  # CONNACK was good, or connected where there is none
    uint64_t open
    uint64_t ready
    uint64_t returning  # lost, and will connect again
    uint64_t returned
    uint64_t secured  # handshakes of TLS
    uint64_t resumed  # and those of them that were short
    uint64_t begun  # messages
    uint64_t sent  # and those of which the socket took the last byte
    uint64_t received
    uint64_t answered
    uint64_t late  # messages that were left out as the schedule could not be kept
    uint64_t bytes_sent
    uint64_t bytes_received

cdef struct Load:
    int epoll
    int timer
    int64_t timer_at
    int64_t now
    Client *clients
    uint32_t count
    # what to do
    Job job
    bint raw  # no MQTT: bytes and their echo
    uint8_t qos
    bint reconnect
    bint silent  # no messages yet, or no more
    bint finishing  # nothing new is begun
    uint32_t id_tail  # the packet identifier ends so many bytes before the payload
    Texts connects
    Texts subscribes
    Texts heads
    const char *payload
    uint32_t payload_size
    const char *address
    uint32_t address_size
    const char *sources
    uint32_t sources_count
    uint32_t source_size
    int64_t connect_period
    int64_t message_period  # of all together
    int64_t client_period  # of each; 0 both: as soon as the answer is there
    int64_t retry_period
    uint16_t retries  # how often a client that was lost tries to return; 0 is never
    int64_t timeout
    int64_t keepalive
    uint64_t limit  # messages; 0 is none
    uint32_t at_once  # connections that may be on their way
    SSL_CTX *ctx  # NULL: no TLS
    const char *server_name  # what the target is told it is called; NULL: nothing
    const char *verified_name  # what its certificate has to bear; NULL: it is not looked at
    bint reuse  # sessions
    bint websocket
    Texts requests
    const char *accepts  # of each client, in the answer to its request
    uint8_t mask[4]
    # where it is
    uint32_t *queue  # a ring of those that wait for their turn to connect
    uint32_t queue_start
    uint32_t queue_size
    uint32_t opening
    uint32_t *ready  # those that may send, `counts.ready` of them
    uint32_t cursor
    uint32_t waiting  # answers
    uint32_t sending  # messages that are not taken whole
    int64_t first_try
    int64_t last_let_in
    int64_t next_connect
    int64_t next_message
    int64_t next_sweep
    int64_t paused  # when `run` returned last
    char *buffer
    char *head
    char *record  # where the parts of a message are put together for TLS
    char tls_version[16]  # of the last handshake
    char tls_cipher[64]
    Counts counts
    uint64_t faults[FAULTS]
    Reason reasons[REASONS]
    uint64_t codes[KINDS][256]
    Buckets *connect_times
    Buckets *tls_times
    Buckets *upgrade_times
    Buckets *connack_times
    Buckets *entry_times
    Buckets *round_trips
    Buckets *acknowledgements
