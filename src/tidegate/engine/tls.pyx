# distutils: libraries = ssl crypto
"""TLS on one side of a session: the handshake, reading, writing, the goodbye.

Everything here is below the session: it calls OpenSSL on a socket that is the session's, and says
how that went in the words of recv and send (a count, or -1 with errno). What OpenSSL complained
about is kept as text for the log, as nginx writes it.
"""

from libc cimport errno as c
from libc.stdint cimport uint8_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, strerror, strlen

from tidegate.engine.openssl cimport (
    ERR_TXT_STRING,
    SSL,
    SSL_ERROR_SYSCALL,
    SSL_ERROR_WANT_CLIENT_HELLO_CB,
    SSL_ERROR_WANT_READ,
    SSL_ERROR_WANT_WRITE,
    SSL_ERROR_WANT_X509_LOOKUP,
    SSL_ERROR_ZERO_RETURN,
    SSL_OP_NO_RENEGOTIATION,
    SSL_R_CALLBACK_FAILED,
    SSL_VERIFY_PEER,
    X509,
    X509_VERIFY_PARAM,
    X509_V_ERR_CERT_HAS_EXPIRED,
    X509_V_ERR_CERT_UNTRUSTED,
    X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
    X509_V_ERR_HOSTNAME_MISMATCH,
    X509_V_ERR_IP_ADDRESS_MISMATCH,
    X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
    X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
    X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
    X509_V_OK,
    ERR_clear_error,
    ERR_error_string_n,
    ERR_get_error,
    ERR_GET_LIB,
    ERR_GET_REASON,
    ERR_peek_error,
    ERR_peek_error_data,
    ERR_peek_last_error,
    OPENSSL_free,
    SSL_CTX_free,
    SSL_CTX_remove_session,
    SSL_do_handshake,
    SSL_free,
    SSL_get0_param,
    SSL_get0_peer_certificate,
    SSL_get_error,
    SSL_get_session,
    SSL_get_SSL_CTX,
    SSL_get_verify_mode,
    SSL_get_verify_result,
    SSL_has_pending,
    SSL_in_before,
    SSL_is_init_finished,
    SSL_new,
    SSL_read,
    SSL_session_reused,
    SSL_set_accept_state,
    SSL_set_options,
    SSL_set_verify_result,
    SSL_shutdown,
    SSL_write,
    X509_check_host,
    X509_check_ip_asc,
    X509_cmp_current_time,
    X509_get0_notAfter,
    X509_VERIFY_PARAM_get0_host,
    X509_VERIFY_PARAM_get1_ip_asc,
    X509_verify_cert_error_string,
)
from tidegate.engine.tls_socket cimport MOST_CHATTER, tls_attach
from tidegate.engine.types cimport (
    CLIENT,
    VERIFY_OFF,
    VERIFY_ON,
    VERIFY_OPTIONAL_NO_CA,
    Core,
    End,
    Pending,
    Session,
    Tls,
)

cdef enum:
    ERR_LIB_SSL = 20
    # How often a step of a handshake may read: a chain of certificates comes in several.
    SHAKE_READS = 4
    # nginx's levels, as the error log counts them here.
    LEVEL_INFO = 2
    LEVEL_CRIT = 6


cdef void drop_tls(Tls *tls) noexcept nogil:
    if tls is NULL:
        return
    tls.refs -= 1
    if tls.refs == 0:
        SSL_CTX_free(tls.ctx)
        free(tls)


cdef inline void clear_errors() noexcept nogil:
    """What is left in the queue would be taken for the cause of the next failure."""
    if ERR_peek_error():
        ERR_clear_error()


cdef size_t put(char *out, size_t at, const char *text) noexcept nogil:
    cdef size_t size = strlen(text)
    if at + size >= FAULT_SIZE:
        size = FAULT_SIZE - 1 - at
    memcpy(out + at, text, size)
    return at + size


cdef size_t put_queue(char *out, size_t at) noexcept nogil:
    """OpenSSL's errors as nginx writes them; the queue is empty afterwards."""
    cdef char text[256]
    cdef const char *data
    cdef int flags
    cdef unsigned long error
    if ERR_peek_error() == 0:
        return at
    at = put(out, at, b" (SSL:")
    while True:
        data = NULL
        error = ERR_peek_error_data(&data, &flags)
        if error == 0:
            break
        ERR_error_string_n(error, text, sizeof(text))
        at = put(out, at, b" ")
        at = put(out, at, text)
        if data is not NULL and data[0] and flags & ERR_TXT_STRING:
            at = put(out, at, b":")
            at = put(out, at, data)
        ERR_get_error()
    return put(out, at, b")")


cdef void note_fault(Session *s, const char *what, int error) noexcept nogil:
    """Keep what went wrong for the log: words, OpenSSL's errors, an errno; the first one counts."""
    cdef char text[FAULT_SIZE]
    cdef size_t at
    cdef unsigned long last = ERR_peek_last_error()
    if s.fault is not NULL:
        clear_errors()
        return
    s.fault_level = LEVEL_INFO if last == 0 or ERR_GET_LIB(last) == ERR_LIB_SSL else LEVEL_CRIT
    at = put_queue(text, put(text, 0, what))
    if error and at + 64 < FAULT_SIZE:
        at += <size_t>snprintf(text + at, FAULT_SIZE - at, b" (%d: %s)", error, strerror(error))
        if at > FAULT_SIZE - 1:
            at = FAULT_SIZE - 1
    s.fault = <Pending *>malloc(sizeof(Pending) + at)
    if s.fault is not NULL:
        s.fault.start = 0
        s.fault.end = <unsigned int>at
        memcpy(s.fault.data, text, at)


cdef void run_again(Core *core, Session *s, int side) noexcept nogil:
    """See that this side is read in the next turn, whatever epoll says."""
    if s.run == 0:
        s.run_next = core.running
        core.running = s
    s.run |= <uint8_t>(1 << side)


# --- handshake ---


cdef bint tls_accept(Session *s) noexcept nogil:
    """Make the client's side ready for its handshake; False without memory."""
    cdef SSL *ssl
    clear_errors()
    ssl = SSL_new(s.tls.ctx)
    if ssl is NULL:
        return False
    s.ends[CLIENT].ssl = ssl
    # A client that asks for another handshake is told that there is none, and may go on.
    SSL_set_options(ssl, SSL_OP_NO_RENEGOTIATION)
    SSL_set_accept_state(ssl)
    return tls_attach(&s.ends[CLIENT])


cdef bint tls_start(End *end) noexcept nogil:
    """Put an upstream's TLS, which was made with the plan, on the socket that is connected now."""
    clear_errors()
    return tls_attach(end)


cdef bint tls_stands(End *end) noexcept nogil:
    """Whether this side has TLS, and its handshake is done."""
    return end.ssl is not NULL and SSL_is_init_finished(end.ssl)


cdef Shake tls_shake(Session *s, int side) noexcept nogil:
    """One step; SHAKE_DONE means that the other side has also proved what it had to."""
    cdef End *end = &s.ends[side]
    cdef int result, error
    clear_errors()
    c.errno = 0
    end.reads = SHAKE_READS
    result = SSL_do_handshake(end.ssl)
    if result == 1:
        end.more = SSL_has_pending(end.ssl) == 1
        return SHAKE_DONE if verified(s, side) else SHAKE_FAILED
    error = SSL_get_error(end.ssl, result)
    if error == SSL_ERROR_WANT_READ:
        return SHAKE_READ
    if error == SSL_ERROR_WANT_WRITE:
        return SHAKE_WRITE
    if error == SSL_ERROR_WANT_X509_LOOKUP:
        return SHAKE_ASKS
    if error == SSL_ERROR_WANT_CLIENT_HELLO_CB:
        return SHAKE_GREETED
    if error == SSL_ERROR_ZERO_RETURN or ERR_peek_error() == 0:
        end.broken = True
        note_fault(
            s,
            b"peer closed connection in SSL handshake",
            c.errno if error == SSL_ERROR_SYSCALL else 0,
        )
    elif ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_CALLBACK_FAILED:
        # Of our callbacks only that of ssl_reject_handshake fails in this way.
        clear_errors()
        note_fault(s, b"handshake rejected", 0)
    else:
        note_fault(s, b"SSL_do_handshake() failed", 0)
    return SHAKE_FAILED


cdef bint excusable(long result) noexcept nogil:
    """Faults of a certificate that `optional_no_ca` lets pass; nginx's list."""
    return (
        result == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
        or result == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
        or result == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        or result == X509_V_ERR_CERT_UNTRUSTED
        or result == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
    )


cdef void judge_again(SSL *ssl) noexcept nogil:
    """Look at the certificate of a session that is taken up: OpenSSL does that only once.

    It may have ended, and each session makes the next; and an upstream may have to bear another
    name than the last time.
    """
    cdef X509 *certificate = SSL_get0_peer_certificate(ssl)
    if certificate is NULL:
        return
    if X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0:
        SSL_set_verify_result(ssl, X509_V_ERR_CERT_HAS_EXPIRED)
    elif not bears_name(ssl, certificate):
        SSL_set_verify_result(ssl, X509_V_ERR_HOSTNAME_MISMATCH)


cdef bint bears_name(SSL *ssl, X509 *certificate) noexcept nogil:
    """Whether the name or address that the connection asks for, if any, is in the certificate."""
    cdef X509_VERIFY_PARAM *wanted = SSL_get0_param(ssl)
    cdef const char *name = X509_VERIFY_PARAM_get0_host(wanted, 0)
    cdef char *address
    cdef int found
    if name is not NULL:
        return X509_check_host(certificate, name, 0, 0, NULL) == 1
    address = X509_VERIFY_PARAM_get1_ip_asc(wanted)
    if address is NULL:
        return True
    found = X509_check_ip_asc(certificate, address, 0)
    OPENSSL_free(address)
    return found == 1


cdef bint verified(Session *s, int side) noexcept nogil:
    """Whether the other side's certificate is as `verify` wants it; checked after the handshake.

    As in nginx a client whose certificate is refused gets a close and no alert of its own.
    """
    cdef SSL *ssl = s.ends[side].ssl
    cdef char text[256]
    cdef long result
    # Faults that were let pass on the way here are not of this one's making.
    clear_errors()
    if SSL_session_reused(ssl) and SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER:
        judge_again(ssl)
        clear_errors()
    if s.tls.verify == VERIFY_OFF:
        # Where a certificate was asked for all the same, others judge by the result.
        return True
    result = SSL_get_verify_result(ssl)
    if result != X509_V_OK and not (
        s.tls.verify == VERIFY_OPTIONAL_NO_CA and excusable(result)
    ):
        if result == X509_V_ERR_HOSTNAME_MISMATCH or result == X509_V_ERR_IP_ADDRESS_MISMATCH:
            # Whose name it should bear is added by those who know it.
            snprintf(text, sizeof(text), b"upstream SSL certificate does not match")
        else:
            snprintf(
                text,
                sizeof(text),
                b"%s SSL certificate verify error: (%ld:%s)",
                <const char *>b"client" if side == CLIENT else <const char *>b"upstream",
                result,
                X509_verify_cert_error_string(result),
            )
        note_fault(s, text, 0)
    elif s.tls.verify == VERIFY_ON and SSL_get0_peer_certificate(ssl) is NULL:
        if side == CLIENT:
            note_fault(s, b"client sent no required SSL certificate", 0)
        else:
            note_fault(s, b"upstream sent no SSL certificate", 0)
    else:
        return True
    # What was agreed on with an impostor must not be taken up again.
    SSL_CTX_remove_session(SSL_get_SSL_CTX(ssl), SSL_get_session(ssl))
    return False


# --- bytes ---


cdef ssize_t tls_read(
    Core *core, Session *s, int side, char *buffer, size_t size
) noexcept nogil:
    """As recv. What OpenSSL has read ahead is taken along; the rest of it is for the next turn."""
    cdef End *end = &s.ends[side]
    cdef size_t have = 0
    cdef int n = 0
    end.more = False
    if end.fault:
        c.errno = end.fault
        return -1
    clear_errors()
    c.errno = 0
    # As many as `size` bytes need, in the largest records, which OpenSSL's buffer holds one of.
    end.reads = <uint8_t>(1 + (size >> 14))
    while have < size:
        n = SSL_read(end.ssl, buffer + have, <int>(size - have))
        if n <= 0:
            return read_stopped(core, s, side, n, have)
        if have == 0:
            end.chatter = 0
        have += <size_t>n
        if not SSL_has_pending(end.ssl):
            return <ssize_t>have
    end.more = True
    run_again(core, s, side)
    return <ssize_t>have


cdef ssize_t read_stopped(
    Core *core, Session *s, int side, int result, size_t have
) noexcept nogil:
    """SSL_read gave no more: nothing is there yet, or an end, which comes after the bytes."""
    cdef End *end = &s.ends[side]
    cdef int error = SSL_get_error(end.ssl, result)
    cdef int reason = c.errno
    if end.chatter > MOST_CHATTER:
        clear_errors()
        note_fault(s, b"too many TLS messages without data", 0)
        return read_failed(core, s, side, c.EPROTO, have)
    if error == SSL_ERROR_WANT_READ or error == SSL_ERROR_WANT_WRITE:
        if have:
            return <ssize_t>have
        c.errno = c.EAGAIN
        return -1
    if error == SSL_ERROR_ZERO_RETURN or (
        error == SSL_ERROR_SYSCALL and reason == 0 and ERR_peek_error() == 0
    ):
        if have == 0:
            return 0
        # OpenSSL says it again.
        end.more = True
        run_again(core, s, side)
        return <ssize_t>have
    if error != SSL_ERROR_SYSCALL or reason == 0:
        reason = c.EPROTO
        note_fault(s, b"SSL_read() failed", 0)
    return read_failed(core, s, side, reason, have)


cdef ssize_t read_failed(
    Core *core, Session *s, int side, int reason, size_t have
) noexcept nogil:
    """As recv does with errno `reason`, but `have` bytes come before that."""
    cdef End *end = &s.ends[side]
    end.fault = <uint8_t>reason
    if have == 0:
        c.errno = reason
        return -1
    end.more = True
    run_again(core, s, side)
    return <ssize_t>have


cdef ssize_t tls_write(Session *s, int side, const char *data, size_t size) noexcept nogil:
    """As send. After EAGAIN the next call must begin with the same bytes."""
    cdef End *end = &s.ends[side]
    cdef size_t done = 0
    cdef int n, error
    clear_errors()
    c.errno = 0
    while done < size:
        n = SSL_write(end.ssl, data + done, <int>(size - done))
        if n <= 0:
            break
        done += <size_t>n
    if done or size == 0:
        return <ssize_t>done
    error = SSL_get_error(end.ssl, n)
    if error == SSL_ERROR_WANT_WRITE or error == SSL_ERROR_WANT_READ:
        c.errno = c.EAGAIN
        return -1
    if error != SSL_ERROR_SYSCALL or c.errno == 0:
        note_fault(s, b"SSL_write() failed", 0)
        c.errno = c.EPROTO
    return -1


# --- the end ---


cdef void tls_goodbye(End *end) noexcept nogil:
    """Say our end in TLS: a close_notify, where the socket takes it."""
    if end.ssl is NULL or end.shut or end.broken or end.fault:
        return
    if not SSL_is_init_finished(end.ssl):
        return
    clear_errors()
    SSL_shutdown(end.ssl)
    clear_errors()


cdef bint tls_unheard(End *end) noexcept nogil:
    """Whether not a byte of the other side's TLS was read."""
    return SSL_in_before(end.ssl) == 1


cdef void tls_free(End *end) noexcept nogil:
    if end.ssl is not NULL:
        SSL_free(end.ssl)
        end.ssl = NULL
        end.more = end.fault = False
