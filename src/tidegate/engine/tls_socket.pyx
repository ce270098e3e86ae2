# distutils: libraries = ssl crypto
"""OpenSSL's way to a socket of ours, with a bound on what it takes from it at once.

`SSL_read` comes back only with data, and goes on reading as long as the other side sends what is
none: new keys, wishes for another handshake. With OpenSSL's own socket one client could hold a
worker for as long as it likes. Here a call may read a number of times (`End.reads`) and then hears
that nothing is there; and who goes on with messages that bring nothing is cut off.
"""

from libc cimport errno as c
from libc.stdint cimport uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from tidegate.engine.linux cimport MSG_NOSIGNAL, recv, send, ssize_t
from tidegate.engine.openssl cimport (
    BIO,
    BIO_CTRL_EOF,
    BIO_CTRL_FLUSH,
    BIO_FLAGS_IN_EOF,
    BIO_METHOD,
    BIO_TYPE_SOURCE_SINK,
    SSL,
    SSL_CB_LOOP,
    SSL_CB_WRITE_ALERT,
    SSL_RECEIVED_SHUTDOWN,
    BIO_clear_retry_flags,
    BIO_get_data,
    BIO_get_new_index,
    BIO_meth_new,
    BIO_meth_set_ctrl,
    BIO_meth_set_read,
    BIO_meth_set_write,
    BIO_new,
    BIO_set_data,
    BIO_set_flags,
    BIO_set_init,
    BIO_set_retry_read,
    BIO_set_retry_write,
    BIO_test_flags,
    SSL_get_rbio,
    SSL_set_bio,
    SSL_set_info_callback,
    SSL_set_shutdown,
)
from tidegate.engine.types cimport CLIENT, End, Pending, Session


cdef bint tls_attach(End *end) noexcept nogil:
    """Lead the TLS of this side to its socket; False without memory."""
    cdef BIO *bio = BIO_new(method)
    if bio is NULL:
        return False
    BIO_set_data(bio, end)
    BIO_set_init(bio, 1)
    end.chatter = 0
    SSL_set_bio(end.ssl, bio, bio)
    SSL_set_info_callback(end.ssl, notice)
    return True


cdef int from_socket(BIO *bio, char *buffer, int size) noexcept nogil:
    cdef End *end = <End *>BIO_get_data(bio)
    cdef ssize_t n
    BIO_clear_retry_flags(bio)
    if end.replays:
        # The client's side is what a session begins with.
        n = replay(<Session *>end, buffer, <uint32_t>size)
        if n:
            return <int>n
    if end.reads == 0:
        # epoll tells of it again in the next turn.
        BIO_set_retry_read(bio)
        return -1
    end.reads -= 1
    n = recv(end.fd, buffer, <size_t>size, 0)
    if n < 0 and (c.errno == c.EAGAIN or c.errno == c.EINTR):
        BIO_set_retry_read(bio)
    elif n == 0:
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF)
    return <int>n


cdef int replay(Session *s, char *buffer, uint32_t size) noexcept nogil:
    """Of what was preread what comes next; 0 is nothing more."""
    cdef Pending *early = s.preread
    cdef uint32_t n
    if early is NULL:
        return 0
    n = min(size, early.end - early.start)
    memcpy(buffer, early.data + early.start, n)
    early.start += n
    if early.start == early.end:
        free(early)
        s.preread = NULL
        s.ends[CLIENT].replays = False
    return <int>n


cdef int to_socket(BIO *bio, const char *data, int size) noexcept nogil:
    cdef End *end = <End *>BIO_get_data(bio)
    cdef ssize_t n
    BIO_clear_retry_flags(bio)
    n = send(end.fd, data, <size_t>size, MSG_NOSIGNAL)
    if n < 0 and (c.errno == c.EAGAIN or c.errno == c.EINTR):
        BIO_set_retry_write(bio)
    return <int>n


cdef long control(BIO *bio, int command, long _number, void *_more) noexcept nogil:
    if command == BIO_CTRL_FLUSH:
        return 1
    if command == BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0
    return 0


cdef void notice(const SSL *ssl, int what, int _value) noexcept nogil:
    """Count what is neither data nor of the handshake, and stop reading where it is too much."""
    cdef End *end
    if not what & SSL_CB_LOOP and what != SSL_CB_WRITE_ALERT:
        return
    end = <End *>BIO_get_data(SSL_get_rbio(ssl))
    if end.shaking:
        return
    if end.chatter <= MOST_CHATTER:
        end.chatter += 1
    else:
        SSL_set_shutdown(<SSL *>ssl, SSL_RECEIVED_SHUTDOWN)


cdef BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, b"tidegate")
if method is NULL:
    raise MemoryError
BIO_meth_set_read(method, from_socket)
BIO_meth_set_write(method, to_socket)
BIO_meth_set_ctrl(method, control)
