# distutils: libraries = ssl crypto
"""What TLS is made of: certificates, keys and rules, put into OpenSSL's context.

A `Context` is filled once, when a configuration is prepared, by one call for each directive, and
serves all handshakes of a server, or all of those with an upstream. Files are given as bytes with
their names, which only messages use: workers may not read them. Faults are told in nginx's words.
"""

from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from tidegate.engine.openssl cimport (
    BIO,
    CRYPTO_EX_DATA,
    EVP_PKEY,
    OCSP_RESPONSE,
    OPENSSL_NPN_NEGOTIATED,
    OPENSSL_VERSION,
    SSL,
    SSL_AD_UNRECOGNIZED_NAME,
    SSL_CONF_CTX,
    SSL_CTX,
    SSL_CONF_FLAG_CERTIFICATE,
    SSL_CONF_FLAG_CLIENT,
    SSL_CONF_FLAG_FILE,
    SSL_CONF_FLAG_SERVER,
    SSL_CONF_FLAG_SHOW_ERRORS,
    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER,
    SSL_MODE_ENABLE_PARTIAL_WRITE,
    SSL_MODE_NO_AUTO_CHAIN,
    SSL_MODE_RELEASE_BUFFERS,
    SSL_OP_CIPHER_SERVER_PREFERENCE,
    SSL_OP_IGNORE_UNEXPECTED_EOF,
    SSL_OP_NO_ANTI_REPLAY,
    SSL_OP_NO_COMPRESSION,
    SSL_OP_NO_RENEGOTIATION,
    SSL_OP_NO_SSLv3,
    SSL_OP_NO_TICKET,
    SSL_OP_NO_TLSv1,
    SSL_OP_NO_TLSv1_1,
    SSL_OP_NO_TLSv1_2,
    SSL_OP_NO_TLSv1_3,
    SSL_OP_SINGLE_DH_USE,
    SSL_OP_SINGLE_ECDH_USE,
    SSL_SESS_CACHE_NO_AUTO_CLEAR,
    SSL_SESS_CACHE_NO_INTERNAL,
    SSL_SESS_CACHE_NO_INTERNAL_STORE,
    SSL_SESS_CACHE_OFF,
    SSL_SESS_CACHE_SERVER,
    SSL_TLSEXT_ERR_ALERT_FATAL,
    SSL_TLSEXT_ERR_NOACK,
    SSL_TLSEXT_ERR_OK,
    SSL_VERIFY_PEER,
    TLS1_3_VERSION,
    X509,
    X509_CRL,
    X509_STORE,
    X509_STORE_CTX,
    X509_V_FLAG_CRL_CHECK,
    X509_V_FLAG_CRL_CHECK_ALL,
    BIO_free,
    ERR_clear_error,
    EVP_PKEY_free,
    OCSP_RESPONSE_free,
    OPENSSL_malloc,
    OpenSSL_version,
    PEM_read_bio_Parameters,
    PEM_read_bio_X509_AUX,
    PEM_read_bio_X509_CRL,
    SSL_clear_options,
    SSL_CONF_cmd,
    SSL_CONF_CTX_finish,
    SSL_CONF_CTX_free,
    SSL_CONF_CTX_new,
    SSL_CONF_CTX_set_flags,
    SSL_CONF_CTX_set_ssl_ctx,
    SSL_CTX_add_client_CA,
    SSL_CTX_get_cert_store,
    SSL_CTX_get_ex_data,
    SSL_CTX_get_ex_new_index,
    SSL_CTX_get_options,
    SSL_CTX_get_security_level,
    SSL_CTX_get_verify_depth,
    SSL_CTX_get_verify_mode,
    SSL_CTX_new,
    SSL_CTX_sess_set_cache_size,
    SSL_CTX_set0_tmp_dh_pkey,
    SSL_CTX_set1_chain,
    SSL_CTX_set1_curves_list,
    SSL_CTX_set_alpn_protos,
    SSL_CTX_set_alpn_select_cb,
    SSL_CTX_set_cert_cb,
    SSL_CTX_set_cipher_list,
    SSL_CTX_set_client_hello_cb,
    SSL_CTX_set_ex_data,
    SSL_CTX_set_max_proto_version,
    SSL_CTX_set_min_proto_version,
    SSL_CTX_set_mode,
    SSL_CTX_set_num_tickets,
    SSL_CTX_set_options,
    SSL_CTX_set_read_ahead,
    SSL_CTX_set_session_cache_mode,
    SSL_CTX_set_session_id_context,
    SSL_CTX_set_timeout,
    SSL_CTX_set_tlsext_servername_callback,
    SSL_CTX_set_tlsext_status_arg,
    SSL_CTX_set_tlsext_status_cb,
    SSL_CTX_set_verify,
    SSL_CTX_set_verify_depth,
    SSL_CTX_use_certificate,
    SSL_CTX_use_PrivateKey,
    SSL_get_options,
    SSL_select_next_proto,
    SSL_set_options,
    SSL_set_SSL_CTX,
    SSL_set_tlsext_status_ocsp_resp,
    SSL_set_verify,
    SSL_set_verify_depth,
    TLS_method,
    X509_CRL_free,
    X509_free,
    X509_STORE_add_cert,
    X509_STORE_add_crl,
    X509_STORE_set_flags,
    d2i_OCSP_RESPONSE_bio,
    i2d_OCSP_RESPONSE,
)
from tidegate.engine.tls cimport drop_tls
from tidegate.engine.tls_pem cimport Certificate, Key, at_end, fault, memory
from tidegate.engine.tls_questions cimport ask_pairs, wait_for_rules
from tidegate.engine.tls_resume cimport TicketKeys, use_cache, use_tickets
from tidegate.engine.types cimport VERIFY_OFF, Tls
from tidegate.scoreboard.cache cimport Cache

PROTOCOLS = {
    "SSLv3": SSL_OP_NO_SSLv3,
    "TLSv1": SSL_OP_NO_TLSv1,
    "TLSv1.1": SSL_OP_NO_TLSv1_1,
    "TLSv1.2": SSL_OP_NO_TLSv1_2,
    "TLSv1.3": SSL_OP_NO_TLSv1_3,
}
VERIFY = ("off", "on", "optional", "optional_no_ca")


def openssl_version():
    """The version of the OpenSSL that runs, e.g. "OpenSSL 3.0.19 27 Jan 2026"."""
    return OpenSSL_version(OPENSSL_VERSION).decode()


cdef struct Protocols:
    # What is chosen from by ALPN, as TLS writes it.
    unsigned int size
    unsigned char data[0]


cdef void drop_protocols(
    void *_parent, void *data, CRYPTO_EX_DATA *_all, int _index, long _number, void *_more
) noexcept nogil:
    free(data)


cdef struct Staple:
    # An OCSP answer that clients are handed who ask for one; freed with its context.
    unsigned int size
    unsigned char data[0]


cdef int staple_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, drop_protocols)
cdef int protocols_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, drop_protocols)


# --- what OpenSSL calls ---


cdef int go_on(int _ok, X509_STORE_CTX *_store) noexcept nogil:
    """As nginx: the handshake goes on, and its result is looked at afterwards."""
    return 1


cdef int choose_alpn(
    SSL *_ssl,
    const unsigned char **out,
    unsigned char *out_size,
    const unsigned char *theirs,
    unsigned int theirs_size,
    void *data,
) noexcept nogil:
    cdef Protocols *ours = <Protocols *>data
    if (
        SSL_select_next_proto(
            <unsigned char **>out, out_size, ours.data, ours.size, theirs, theirs_size
        )
        != OPENSSL_NPN_NEGOTIATED
    ):
        return SSL_TLSEXT_ERR_ALERT_FATAL
    return SSL_TLSEXT_ERR_OK


cdef int hand_out(SSL *ssl, void *data) noexcept nogil:
    """Give a client that asks for it the answer about our certificate; OpenSSL frees its copy."""
    cdef Staple *staple = <Staple *>data
    cdef unsigned char *copy = <unsigned char *>OPENSSL_malloc(staple.size)
    if copy is NULL:
        return SSL_TLSEXT_ERR_NOACK
    memcpy(copy, staple.data, staple.size)
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, <long>staple.size)
    return SSL_TLSEXT_ERR_OK


cdef int refuse_name(SSL *_ssl, int *alert, void *_data) noexcept nogil:
    alert[0] = SSL_AD_UNRECOGNIZED_NAME
    return SSL_TLSEXT_ERR_ALERT_FATAL


cdef int take_name(SSL *_ssl, int *_alert, void *_data) noexcept nogil:
    """Nothing is left to do: by then the rules are those of the server of that name."""
    return SSL_TLSEXT_ERR_OK


cdef void change_context(SSL *ssl, Context context) noexcept:
    """As nginx does it: certificates, authorities and ciphers come along, the rest is copied."""
    cdef SSL_CTX *ctx = context.tls.ctx
    SSL_set_SSL_CTX(ssl, ctx)
    SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx), go_on)
    SSL_set_verify_depth(ssl, SSL_CTX_get_verify_depth(ctx))
    SSL_clear_options(ssl, SSL_get_options(ssl) & ~SSL_CTX_get_options(ctx))
    SSL_set_options(ssl, SSL_CTX_get_options(ctx) | SSL_OP_NO_RENEGOTIATION)


# --- the context ---


cdef class Context:
    def __cinit__(
        self, *, bint server=True, protocols=("TLSv1.2", "TLSv1.3"), long timeout_ms=60000
    ):
        self.tls = <Tls *>calloc(1, sizeof(Tls))
        if self.tls is NULL:
            raise MemoryError
        self.tls.refs = 1
        self.tls.timeout_ms = timeout_ms
        ERR_clear_error()
        self.tls.ctx = SSL_CTX_new(TLS_method())
        if self.tls.ctx is NULL:
            raise fault("SSL_CTX_new() failed")
        for name, option in PROTOCOLS.items():
            if name not in protocols:
                SSL_CTX_set_options(self.tls.ctx, option)
        if server:
            SSL_CTX_set_tlsext_servername_callback(self.tls.ctx, take_name)
        SSL_CTX_set_min_proto_version(self.tls.ctx, 0)
        SSL_CTX_set_max_proto_version(self.tls.ctx, TLS1_3_VERSION)
        SSL_CTX_set_options(
            self.tls.ctx,
            SSL_OP_NO_COMPRESSION
            | SSL_OP_NO_ANTI_REPLAY
            | SSL_OP_NO_RENEGOTIATION
            | SSL_OP_IGNORE_UNEXPECTED_EOF
            | SSL_OP_SINGLE_DH_USE
            | SSL_OP_SINGLE_ECDH_USE,
        )
        SSL_CTX_set_mode(
            self.tls.ctx,
            SSL_MODE_RELEASE_BUFFERS
            | SSL_MODE_NO_AUTO_CHAIN
            | SSL_MODE_ENABLE_PARTIAL_WRITE
            | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER,
        )
        SSL_CTX_set_read_ahead(self.tls.ctx, 1)
        if server:
            SSL_CTX_set_session_cache_mode(self.tls.ctx, SSL_SESS_CACHE_OFF)
            # A device has one connection: a second ticket of TLS 1.3 would only cost.
            SSL_CTX_set_num_tickets(self.tls.ctx, 1)

    def __dealloc__(self):
        drop_tls(self.tls)

    @property
    def security_level(self):
        """OpenSSL's: from 1 on there is no SSL 3, and from OpenSSL 3.0 on no TLS 1.0 and 1.1."""
        return SSL_CTX_get_security_level(self.tls.ctx)

    def set_ciphers(self, str text, *, bint prefer_server=False):
        ERR_clear_error()
        if SSL_CTX_set_cipher_list(self.tls.ctx, text.encode()) == 0:
            raise fault(f'SSL_CTX_set_cipher_list("{text}") failed')
        if prefer_server:
            SSL_CTX_set_options(self.tls.ctx, SSL_OP_CIPHER_SERVER_PREFERENCE)

    def add_certificate(self, str name, bytes pem not None):
        """The certificate that is first in `pem`, and the chain behind it."""
        cdef Certificate certificate = Certificate(name, pem)
        if SSL_CTX_use_certificate(self.tls.ctx, certificate.first) == 0:
            raise fault(f'SSL_CTX_use_certificate("{name}") failed')
        if SSL_CTX_set1_chain(self.tls.ctx, certificate.chain) == 0:
            raise fault(f'SSL_CTX_set0_chain("{name}") failed')

    def add_key(self, str name, bytes pem not None, passwords=()):
        """The private key of the certificate that was added last."""
        cdef Key key = Key(name, pem, passwords)
        if SSL_CTX_use_PrivateKey(self.tls.ctx, key.key) == 0:
            raise fault(f'SSL_CTX_use_PrivateKey("{name}") failed')

    def ask_pairs(self):
        """Have the session asked for its certificates, when the client's hello is known."""
        SSL_CTX_set_cert_cb(self.tls.ctx, ask_pairs, NULL)

    def ask_rules(self):
        """Have the session `greeted` before anything is chosen: it may `use_context`."""
        SSL_CTX_set_client_hello_cb(self.tls.ctx, wait_for_rules, NULL)

    def set_verify(self, str mode, int depth, *, bint judge=True):
        """Ask the other side for its certificate; `mode` is one of VERIFY.

        Without `judge` the handshake succeeds with any, or none: `$ssl_client_verify` tells.
        """
        self.tls.verify = <uint8_t>VERIFY.index(mode) if judge else VERIFY_OFF
        SSL_CTX_set_verify(self.tls.ctx, SSL_VERIFY_PEER, go_on)
        SSL_CTX_set_verify_depth(self.tls.ctx, depth)

    def add_trusted(self, str name, bytes pem not None, *, bint tell=False):
        """Authorities by which certificates are verified; with `tell` the client hears of them."""
        cdef BIO *bio = memory(pem)
        cdef X509_STORE *store = SSL_CTX_get_cert_store(self.tls.ctx)
        cdef X509 *certificate
        cdef int count = 0
        try:
            while True:
                certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)
                if certificate is NULL:
                    break
                count += 1
                X509_STORE_add_cert(store, certificate)
                if tell:
                    SSL_CTX_add_client_CA(self.tls.ctx, certificate)
                X509_free(certificate)
            if count == 0 or not at_end():
                raise fault(f'SSL_CTX_load_verify_locations("{name}") failed')
        finally:
            BIO_free(bio)

    def add_crl(self, str name, bytes pem not None):
        """Certificates that were revoked; from now on each in a chain is looked for."""
        cdef BIO *bio = memory(pem)
        cdef X509_STORE *store = SSL_CTX_get_cert_store(self.tls.ctx)
        cdef X509_CRL *crl
        cdef int count = 0
        try:
            while True:
                crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)
                if crl is NULL:
                    break
                count += 1
                X509_STORE_add_crl(store, crl)
                X509_CRL_free(crl)
            if count == 0 or not at_end():
                raise fault(f'X509_load_crl_file("{name}") failed')
        finally:
            BIO_free(bio)
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL)

    def set_dhparam(self, str name, bytes pem not None):
        cdef BIO *bio = memory(pem)
        cdef EVP_PKEY *key = PEM_read_bio_Parameters(bio, NULL)
        BIO_free(bio)
        if key is NULL:
            raise fault(f'PEM_read_bio_DHparams("{name}") failed')
        if SSL_CTX_set0_tmp_dh_pkey(self.tls.ctx, key) == 0:
            EVP_PKEY_free(key)
            raise fault(f'SSL_CTX_set0_tmp_dh_pkey("{name}") failed')

    def set_staple(self, str name, bytes data not None):
        """Hand out this OCSP answer, in DER."""
        cdef BIO *bio = memory(data)
        cdef OCSP_RESPONSE *response = d2i_OCSP_RESPONSE_bio(bio, NULL)
        cdef Staple *staple
        cdef unsigned char *out
        cdef int size
        BIO_free(bio)
        if response is NULL:
            raise fault(f'd2i_OCSP_RESPONSE_bio("{name}") failed')
        size = i2d_OCSP_RESPONSE(response, NULL)
        staple = <Staple *>malloc(sizeof(Staple) + size) if size > 0 else NULL
        if staple is NULL:
            OCSP_RESPONSE_free(response)
            raise MemoryError
        staple.size = <unsigned int>size
        out = staple.data
        i2d_OCSP_RESPONSE(response, &out)
        OCSP_RESPONSE_free(response)
        free(SSL_CTX_get_ex_data(self.tls.ctx, staple_index))
        SSL_CTX_set_ex_data(self.tls.ctx, staple_index, staple)
        SSL_CTX_set_tlsext_status_cb(self.tls.ctx, hand_out)
        SSL_CTX_set_tlsext_status_arg(self.tls.ctx, staple)

    def set_curves(self, str text):
        """The curves of key exchanges, in order; "auto" leaves OpenSSL's."""
        ERR_clear_error()
        if text != "auto" and SSL_CTX_set1_curves_list(self.tls.ctx, text.encode()) == 0:
            raise fault(f'SSL_CTX_set1_curves_list("{text}") failed')

    def set_sessions(
        self, bytes context not None, *, long timeout, cache="none", Cache shared=None
    ):
        """Let clients take up their sessions: see the stub."""
        cdef long mode = SSL_SESS_CACHE_SERVER
        if SSL_CTX_set_session_id_context(self.tls.ctx, context, <unsigned int>len(context)) == 0:
            raise fault("SSL_CTX_set_session_id_context() failed")
        SSL_CTX_set_timeout(self.tls.ctx, timeout)
        if cache == "off":
            SSL_CTX_set_session_cache_mode(self.tls.ctx, SSL_SESS_CACHE_OFF)
            return
        if cache == "none":
            # Clients that are told of no reuse at all may fail; nginx pretends, too.
            mode |= SSL_SESS_CACHE_NO_AUTO_CLEAR | SSL_SESS_CACHE_NO_INTERNAL_STORE
            SSL_CTX_sess_set_cache_size(self.tls.ctx, 1)
        elif cache == "shared":
            mode |= SSL_SESS_CACHE_NO_INTERNAL
        elif cache:
            SSL_CTX_sess_set_cache_size(self.tls.ctx, cache)
        SSL_CTX_set_session_cache_mode(self.tls.ctx, mode)
        if shared is not None and cache != "none":
            use_cache(self.tls.ctx, shared)

    def set_tickets(self, TicketKeys keys):
        """Give out tickets made with `keys`; None: give out none."""
        if keys is None:
            SSL_CTX_set_options(self.tls.ctx, SSL_OP_NO_TICKET)
        else:
            use_tickets(self.tls.ctx, keys)

    def set_alpn(self, protocols, *, bint server=True):
        """Protocols to choose from, or to offer, the best first."""
        cdef bytes wire = b"".join(bytes([len(one)]) + one for one in protocols)
        cdef Protocols *ours
        if not server:
            if SSL_CTX_set_alpn_protos(self.tls.ctx, wire, <unsigned int>len(wire)) != 0:
                raise fault("SSL_CTX_set_alpn_protos() failed")
            return
        ours = <Protocols *>malloc(sizeof(Protocols) + len(wire))
        if ours is NULL:
            raise MemoryError
        ours.size = <unsigned int>len(wire)
        memcpy(ours.data, <const unsigned char *>wire, ours.size)
        free(SSL_CTX_get_ex_data(self.tls.ctx, protocols_index))
        SSL_CTX_set_ex_data(self.tls.ctx, protocols_index, ours)
        SSL_CTX_set_alpn_select_cb(self.tls.ctx, choose_alpn, ours)

    def reject_handshakes(self):
        """Refuse every client with the alert "unrecognized name"."""
        SSL_CTX_set_tlsext_servername_callback(self.tls.ctx, refuse_name)

    def set_command(self, str name, str value, *, bint server=True):
        """One of OpenSSL's own configuration commands."""
        cdef SSL_CONF_CTX *conf = SSL_CONF_CTX_new()
        cdef bint taken
        if conf is NULL:
            raise MemoryError
        ERR_clear_error()
        SSL_CONF_CTX_set_flags(
            conf,
            SSL_CONF_FLAG_FILE
            | (SSL_CONF_FLAG_SERVER if server else SSL_CONF_FLAG_CLIENT)
            | SSL_CONF_FLAG_CERTIFICATE
            | SSL_CONF_FLAG_SHOW_ERRORS,
        )
        SSL_CONF_CTX_set_ssl_ctx(conf, self.tls.ctx)
        try:
            taken = SSL_CONF_cmd(conf, name.encode(), value.encode()) > 0
            if not taken:
                raise fault(f'SSL_CONF_cmd("{name}", "{value}") failed')
            if SSL_CONF_CTX_finish(conf) != 1:
                raise fault("SSL_CONF_finish() failed")
        finally:
            SSL_CONF_CTX_free(conf)
