# distutils: libraries = ssl crypto
"""The way to an upstream in TLS, and what is kept of the last one for a short handshake."""

from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from tidegate.engine.openssl cimport (
    CRYPTO_EX_DATA,
    SSL,
    SSL_SESS_CACHE_CLIENT,
    SSL_SESS_CACHE_NO_INTERNAL,
    SSL_SESSION,
    ERR_clear_error,
    SSL_CTX_sess_set_new_cb,
    SSL_CTX_set_session_cache_mode,
    SSL_get0_param,
    SSL_get_ex_data,
    SSL_get_ex_new_index,
    SSL_new,
    SSL_SESSION_free,
    SSL_set1_host,
    SSL_set_connect_state,
    SSL_set_ex_data,
    SSL_set_session,
    SSL_set_tlsext_host_name,
    X509_VERIFY_PARAM_set1_ip_asc,
)
from tidegate.engine.tls_context cimport Context
from tidegate.engine.tls_pem cimport fault, give_pairs
from tidegate.engine.types cimport End


cdef struct Slot:
    # The session with which the next handshake with an upstream may be short.
    int64_t refs
    SSL_SESSION *session


cdef void drop_slot(Slot *slot) noexcept nogil:
    if slot is NULL:
        return
    slot.refs -= 1
    if slot.refs == 0:
        SSL_SESSION_free(slot.session)
        free(slot)


cdef void drop_slot_of(
    void *_parent, void *data, CRYPTO_EX_DATA *_all, int _index, long _number, void *_more
) noexcept nogil:
    drop_slot(<Slot *>data)


cdef int slot_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, drop_slot_of)


cdef int keep_session(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """An upstream gave a session for the next time; 1 says that it is ours now."""
    cdef Slot *slot = <Slot *>SSL_get_ex_data(ssl, slot_index)
    if slot is NULL:
        return 0
    SSL_SESSION_free(slot.session)
    slot.session = session
    return 1


def keep_sessions(Context context not None):
    """Let what upstreams give for the next handshake be kept, where a Resumption is given."""
    SSL_CTX_set_session_cache_mode(
        context.tls.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL
    )
    SSL_CTX_sess_set_new_cb(context.tls.ctx, keep_session)


cdef class Resumption:
    """Where one upstream's session is kept for the next handshake with it."""

    def __cinit__(self):
        cdef Slot *slot = <Slot *>calloc(1, sizeof(Slot))
        if slot is NULL:
            raise MemoryError
        slot.refs = 1
        self.slot = slot

    def __dealloc__(self):
        drop_slot(<Slot *>self.slot)


cdef class ClientTls:
    """How one connection to an upstream is secured: see the stub."""

    def __init__(
        self,
        Context context not None,
        *,
        bytes name not None=b"",
        bint sends_name=False,
        bint verifies_name=False,
        Resumption resumption=None,
        pairs=(),
    ):
        self.context = context
        self.name = name
        self.sends_name = sends_name
        self.verifies_name = verifies_name
        self.resumption = resumption
        self.pairs = pairs

    cdef begin(self, End *end):
        """Make the upstream's half; its socket is put in when it is connected."""
        cdef SSL *ssl
        cdef Slot *slot
        ERR_clear_error()
        ssl = SSL_new(self.context.tls.ctx)
        if ssl is NULL:
            raise fault("SSL_new() failed")
        end.ssl = ssl
        SSL_set_connect_state(ssl)
        if self.sends_name and self.name:
            if SSL_set_tlsext_host_name(ssl, self.name) == 0:
                raise fault(f'SSL_set_tlsext_host_name("{self.name.decode()}") failed')
        if (
            self.verifies_name
            and X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), self.name) == 0
            and SSL_set1_host(ssl, self.name) == 0
        ):
            raise fault("SSL_set1_host() failed")
        if self.pairs:
            give_pairs(ssl, self.pairs)
        ERR_clear_error()
        if self.resumption is not None:
            slot = <Slot *>self.resumption.slot
            slot.refs += 1
            SSL_set_ex_data(ssl, slot_index, slot)
            if slot.session is not NULL:
                SSL_set_session(ssl, slot.session)
