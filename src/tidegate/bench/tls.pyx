# distutils: libraries = ssl crypto
"""TLS between the generator and its target.

Reading and writing are as recv and send: a count, or -1 with errno, which is EPROTO where OpenSSL
has something to complain of; why is noted.
"""

from libc cimport errno as c_errno
from libc.string cimport strncpy

from tidegate.bench.reason cimport note
from tidegate.bench.types cimport TLS_FAILED, Client, Load
from tidegate.engine.openssl cimport (
    SSL,
    SSL_CTX,
    SSL_ERROR_SSL,
    SSL_ERROR_SYSCALL,
    SSL_ERROR_WANT_READ,
    SSL_ERROR_WANT_WRITE,
    SSL_ERROR_ZERO_RETURN,
    SSL_SESS_CACHE_CLIENT,
    SSL_SESS_CACHE_NO_INTERNAL,
    SSL_SESSION,
    X509_V_OK,
    ERR_clear_error,
    ERR_peek_error,
    SSL_CTX_sess_set_new_cb,
    SSL_CTX_set_session_cache_mode,
    SSL_do_handshake,
    SSL_free,
    SSL_get0_param,
    SSL_get_cipher_name,
    SSL_get_error,
    SSL_get_ex_data,
    SSL_get_ex_new_index,
    SSL_get_verify_result,
    SSL_get_version,
    SSL_has_pending,
    SSL_new,
    SSL_read,
    SSL_SESSION_free,
    SSL_session_reused,
    SSL_set1_host,
    SSL_set_connect_state,
    SSL_set_ex_data,
    SSL_set_fd,
    SSL_set_session,
    SSL_set_tlsext_host_name,
    SSL_shutdown,
    SSL_write,
    X509_VERIFY_PARAM_set1_ip_asc,
    X509_verify_cert_error_string,
)


cdef extern from "<openssl/ssl.h>" nogil:
    int SSL_CTX_set_default_verify_paths(SSL_CTX *ctx)

cdef extern from "<openssl/err.h>" nogil:
    const char *ERR_reason_error_string(unsigned long error)

cdef int client_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL)


# --- the handshake ---


cdef bint begin_tls(Load *load, Client *c) noexcept nogil:
    """Its socket is connected: get ready for the handshake; False without memory for it."""
    ERR_clear_error()
    c.ssl = SSL_new(load.ctx)
    if c.ssl is NULL or SSL_set_fd(c.ssl, c.fd) != 1:
        return False
    SSL_set_connect_state(c.ssl)
    SSL_set_ex_data(c.ssl, client_index, c)
    if load.server_name is not NULL:
        SSL_set_tlsext_host_name(c.ssl, load.server_name)
    if load.verified_name is not NULL:
        if X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c.ssl), load.verified_name) == 0:
            SSL_set1_host(c.ssl, load.verified_name)
    if c.session is not NULL:
        SSL_set_session(c.ssl, c.session)
    return True


cdef Step step_tls(Load *load, Client *c) noexcept nogil:
    cdef int result, error
    cdef long verdict
    ERR_clear_error()
    result = SSL_do_handshake(c.ssl)
    if result == 1:
        verdict = SSL_get_verify_result(c.ssl)
        if load.verified_name is not NULL and verdict != X509_V_OK:
            note(load, TLS_FAILED, 0, verdict)
            return STEP_FAILED
        remember(load, c)
        return STEP_DONE
    error = SSL_get_error(c.ssl, result)
    if error == SSL_ERROR_WANT_READ:
        return STEP_READ
    if error == SSL_ERROR_WANT_WRITE:
        return STEP_WRITE
    if error == SSL_ERROR_SSL and ERR_peek_error():
        note(load, TLS_FAILED, ERR_peek_error(), X509_V_OK)
        return STEP_FAILED
    return STEP_CLOSED


cdef void remember(Load *load, Client *c) noexcept nogil:
    load.counts.secured += 1
    if SSL_session_reused(c.ssl):
        load.counts.resumed += 1
    # The last byte of each stays 0.
    strncpy(load.tls_version, SSL_get_version(c.ssl), sizeof(load.tls_version) - 1)
    strncpy(load.tls_cipher, SSL_get_cipher_name(c.ssl), sizeof(load.tls_cipher) - 1)


cdef int keep_session(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """The target gave a session for the next time; 1 says that it is ours now."""
    cdef Client *c = <Client *>SSL_get_ex_data(ssl, client_index)
    SSL_SESSION_free(c.session)
    c.session = session
    return 1


cdef void forget_session(Client *c) noexcept nogil:
    SSL_SESSION_free(c.session)
    c.session = NULL


# --- bytes ---


cdef ssize_t read_tls(Load *load, Client *c, char *buffer, size_t size) noexcept nogil:
    cdef int n
    ERR_clear_error()
    c_errno.errno = 0
    n = SSL_read(c.ssl, buffer, <int>size)
    return n if n > 0 else stopped(load, c, n)


cdef ssize_t write_tls(Load *load, Client *c, const char *data, size_t size) noexcept nogil:
    """After EAGAIN the next call must begin with the same bytes, and have as many at least."""
    cdef int n
    if size == 0:
        return 0
    ERR_clear_error()
    c_errno.errno = 0
    n = SSL_write(c.ssl, data, <int>size)
    if n > 0:
        return n
    if stopped(load, c, n) == 0:
        c_errno.errno = c_errno.EPIPE
    return -1


cdef ssize_t stopped(Load *load, Client *c, int result) noexcept nogil:
    """Why a call to OpenSSL moved nothing, in the words of recv and send."""
    cdef int error = SSL_get_error(c.ssl, result)
    if error == SSL_ERROR_ZERO_RETURN:
        return 0
    if error == SSL_ERROR_WANT_READ or error == SSL_ERROR_WANT_WRITE:
        c_errno.errno = c_errno.EAGAIN
    elif error != SSL_ERROR_SYSCALL:
        note(load, TLS_FAILED, ERR_peek_error(), X509_V_OK)
        c_errno.errno = c_errno.EPROTO
    elif c_errno.errno == 0:
        return 0
    return -1


cdef bint has_more(Client *c) noexcept nogil:
    """Whether bytes were read ahead, of which epoll does not know."""
    return c.ssl is not NULL and SSL_has_pending(c.ssl)


cdef void end_tls(Client *c, bint politely) noexcept nogil:
    """Free it; where `politely` after a close_notify, else its session is not good any more."""
    if c.ssl is NULL:
        return
    if politely:
        ERR_clear_error()
        SSL_shutdown(c.ssl)
    SSL_free(c.ssl)
    c.ssl = NULL


# --- what Python says of it ---


cdef class TargetTls:
    """How connections to the target are secured: see the stub."""

    def __init__(
        self,
        Context context not None,
        *,
        str server_name not None="",
        str verified_name not None="",
        bint reuse=False,
    ):
        self.context = context
        self.server_name = server_name.encode()
        self.verified_name = verified_name.encode()
        self.reuse = reuse
        if verified_name:
            # A chain may be as long as OpenSSL itself allows.
            context.set_verify("on", 100)
        if reuse:
            SSL_CTX_set_session_cache_mode(
                context.tls.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL
            )
            SSL_CTX_sess_set_new_cb(context.tls.ctx, keep_session)

    def trust_system(self):
        """Trust the authorities that this machine trusts."""
        SSL_CTX_set_default_verify_paths(self.context.tls.ctx)

    cdef void lend(self, Load *load):
        load.ctx = self.context.tls.ctx
        load.reuse = self.reuse
        if self.server_name:
            load.server_name = self.server_name
        if self.verified_name:
            load.verified_name = self.verified_name


def reason_words(unsigned long error, long verdict):
    """OpenSSL's words for a reason: of an error, and of a verdict; "" for none."""
    cdef const char *words = ERR_reason_error_string(error) if error else NULL
    return (
        "" if words is NULL else words.decode("utf-8", "replace"),
        X509_verify_cert_error_string(verdict).decode() if verdict != X509_V_OK else "",
    )
