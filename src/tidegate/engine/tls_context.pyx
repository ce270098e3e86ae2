# distutils: libraries = ssl crypto
"""What TLS is made of: certificates, keys and rules, put into OpenSSL's context.

A `Context` is filled once, when a configuration is prepared, by one call for each directive, and
serves all handshakes of a server, or all of those with an upstream. Files are given as bytes with
their names, which only messages use: workers may not read them. Faults are told in nginx's words.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from tidegate.engine.openssl cimport (
    BIO,
    CRYPTO_EX_DATA,
    ERR_LIB_PEM,
    EVP_CIPHER,
    EVP_CIPHER_CTX,
    EVP_MAC_CTX,
    EVP_PKEY,
    OPENSSL_NPN_NEGOTIATED,
    OPENSSL_VERSION,
    OSSL_PARAM,
    PEM_R_NO_START_LINE,
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
    SSL_SESS_CACHE_CLIENT,
    SSL_SESS_CACHE_NO_AUTO_CLEAR,
    SSL_SESS_CACHE_NO_INTERNAL,
    SSL_SESS_CACHE_NO_INTERNAL_STORE,
    SSL_SESS_CACHE_OFF,
    SSL_SESS_CACHE_SERVER,
    SSL_SESSION,
    SSL_TLSEXT_ERR_ALERT_FATAL,
    SSL_TLSEXT_ERR_OK,
    SSL_VERIFY_PEER,
    TLS1_3_VERSION,
    X509,
    X509_CRL,
    X509_STORE,
    X509_STORE_CTX,
    X509_V_FLAG_CRL_CHECK,
    X509_V_FLAG_CRL_CHECK_ALL,
    ASN1_TIME_to_tm,
    BIO_free,
    BIO_new_mem_buf,
    ERR_clear_error,
    ERR_GET_LIB,
    ERR_GET_REASON,
    ERR_peek_last_error,
    EVP_aes_128_cbc,
    EVP_aes_256_cbc,
    EVP_CIPHER_get_iv_length,
    EVP_DecryptInit_ex,
    EVP_EncryptInit_ex,
    EVP_MAC_CTX_set_params,
    EVP_PKEY_free,
    OPENSSL_cleanse,
    OpenSSL_version,
    OSSL_PARAM_construct_end,
    OSSL_PARAM_construct_octet_string,
    OSSL_PARAM_construct_utf8_string,
    PEM_read_bio_Parameters,
    PEM_read_bio_PrivateKey,
    PEM_read_bio_X509,
    PEM_read_bio_X509_AUX,
    PEM_read_bio_X509_CRL,
    RAND_bytes,
    SSL_CONF_cmd,
    SSL_CONF_CTX_finish,
    SSL_CONF_CTX_free,
    SSL_CONF_CTX_new,
    SSL_CONF_CTX_set_flags,
    SSL_CONF_CTX_set_ssl_ctx,
    SSL_CTX_add0_chain_cert,
    SSL_CTX_add_client_CA,
    SSL_CTX_get_cert_store,
    SSL_CTX_get_ex_data,
    SSL_CTX_get_ex_new_index,
    SSL_CTX_get_security_level,
    SSL_CTX_new,
    SSL_CTX_sess_set_cache_size,
    SSL_CTX_sess_set_new_cb,
    SSL_CTX_set0_tmp_dh_pkey,
    SSL_CTX_set1_curves_list,
    SSL_CTX_set_alpn_protos,
    SSL_CTX_set_alpn_select_cb,
    SSL_CTX_set_cipher_list,
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
    SSL_CTX_set_tlsext_ticket_key_evp_cb,
    SSL_CTX_set_verify,
    SSL_CTX_set_verify_depth,
    SSL_CTX_use_certificate,
    SSL_CTX_use_PrivateKey,
    SSL_get0_param,
    SSL_get_ex_data,
    SSL_get_ex_new_index,
    SSL_get_SSL_CTX,
    SSL_new,
    SSL_select_next_proto,
    SSL_SESSION_free,
    SSL_set1_host,
    SSL_set_connect_state,
    SSL_set_ex_data,
    SSL_set_session,
    SSL_set_tlsext_host_name,
    SSL_version,
    TLS_method,
    X509_CRL_free,
    X509_free,
    X509_get0_notAfter,
    X509_STORE_add_cert,
    X509_STORE_add_crl,
    X509_STORE_set_flags,
    X509_VERIFY_PARAM_set1_ip_asc,
    timegm,
)
from libc.time cimport tm
from tidegate.engine.tls cimport FAULT_SIZE, drop_tls, put_queue
from tidegate.engine.types cimport End, Tls

cdef enum:
    TICKET_NAME = 16
    # Keys that tickets may be read with; real configurations have two or three.
    MOST_KEYS = 16
    MOST_PASSWORD = 1024

PROTOCOLS = {
    "SSLv3": SSL_OP_NO_SSLv3,
    "TLSv1": SSL_OP_NO_TLSv1,
    "TLSv1.1": SSL_OP_NO_TLSv1_1,
    "TLSv1.2": SSL_OP_NO_TLSv1_2,
    "TLSv1.3": SSL_OP_NO_TLSv1_3,
}
VERIFY = ("off", "on", "optional", "optional_no_ca")


class TlsError(Exception):
    """OpenSSL does not take what the configuration gives it; in nginx's words."""


cdef fault(str words):
    """`words` with OpenSSL's errors behind them."""
    cdef char text[FAULT_SIZE]
    cdef size_t size = put_queue(text, 0)
    return TlsError(words + text[:size].decode("utf-8", "replace"))


def openssl_version():
    """The version of the OpenSSL that runs, e.g. "OpenSSL 3.0.19 27 Jan 2026"."""
    return OpenSSL_version(OPENSSL_VERSION).decode()


# --- what hangs on a context, and lives as long as OpenSSL's half does ---

cdef struct TicketKey:
    uint8_t name[TICKET_NAME]
    uint8_t hmac[32]
    uint8_t aes[32]
    uint32_t size  # of the AES and HMAC keys: 16 or 32

cdef struct Keys:
    int64_t refs
    uint32_t count
    TicketKey keys[MOST_KEYS]

cdef struct Extra:
    Keys *keys
    unsigned char *alpn
    unsigned int alpn_size

cdef int extra_index = -1
cdef int slot_index = -1


cdef void drop_keys(Keys *keys) noexcept nogil:
    if keys is NULL:
        return
    keys.refs -= 1
    if keys.refs == 0:
        OPENSSL_cleanse(keys, sizeof(Keys))
        free(keys)


cdef void drop_extra(
    void *parent, void *data, CRYPTO_EX_DATA *all, int index, long number, void *more
) noexcept nogil:
    cdef Extra *extra = <Extra *>data
    if extra is not NULL:
        drop_keys(extra.keys)
        free(extra.alpn)
        free(extra)


cdef struct Slot:
    # The session with which the next handshake with an upstream may be short.
    int64_t refs
    SSL_SESSION *session


cdef void drop_slot_of(
    void *parent, void *data, CRYPTO_EX_DATA *all, int index, long number, void *more
) noexcept nogil:
    drop_slot(<Slot *>data)


cdef void drop_slot(Slot *slot) noexcept nogil:
    if slot is NULL:
        return
    slot.refs -= 1
    if slot.refs == 0:
        SSL_SESSION_free(slot.session)
        free(slot)


extra_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, drop_extra)
slot_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, drop_slot_of)


cdef inline Extra *extra_of(const SSL_CTX *ctx) noexcept nogil:
    return <Extra *>SSL_CTX_get_ex_data(ctx, extra_index)


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
    cdef Extra *extra = <Extra *>data
    if (
        SSL_select_next_proto(
            <unsigned char **>out, out_size, extra.alpn, extra.alpn_size, theirs, theirs_size
        )
        != OPENSSL_NPN_NEGOTIATED
    ):
        return SSL_TLSEXT_ERR_ALERT_FATAL
    return SSL_TLSEXT_ERR_OK


cdef int refuse_name(SSL *_ssl, int *alert, void *_data) noexcept nogil:
    alert[0] = SSL_AD_UNRECOGNIZED_NAME
    return SSL_TLSEXT_ERR_ALERT_FATAL


cdef int ticket_key(
    SSL *ssl,
    unsigned char *name,
    unsigned char *iv,
    EVP_CIPHER_CTX *cipher_ctx,
    EVP_MAC_CTX *mac_ctx,
    int encrypt,
) noexcept nogil:
    """Give OpenSSL the key of a ticket: the first for a new one, else the one that it names."""
    cdef Extra *extra = extra_of(SSL_get_SSL_CTX(ssl))
    cdef TicketKey *key
    cdef const EVP_CIPHER *cipher
    cdef uint32_t i = 0
    if encrypt:
        key = &extra.keys.keys[0]
    else:
        while i < extra.keys.count and memcmp(name, extra.keys.keys[i].name, TICKET_NAME) != 0:
            i += 1
        if i == extra.keys.count:
            return 0
        key = &extra.keys.keys[i]
    cipher = EVP_aes_128_cbc() if key.size == 16 else EVP_aes_256_cbc()
    if not set_mac(mac_ctx, key):
        return -1
    if encrypt:
        if RAND_bytes(iv, EVP_CIPHER_get_iv_length(cipher)) != 1:
            return -1
        memcpy(name, key.name, TICKET_NAME)
        return 1 if EVP_EncryptInit_ex(cipher_ctx, cipher, NULL, key.aes, iv) == 1 else -1
    if EVP_DecryptInit_ex(cipher_ctx, cipher, NULL, key.aes, iv) != 1:
        return -1
    # TLS 1.3 wants a ticket used once; one of an older key is to be replaced.
    return 2 if i or SSL_version(ssl) == TLS1_3_VERSION else 1


cdef bint set_mac(EVP_MAC_CTX *mac_ctx, TicketKey *key) noexcept nogil:
    cdef OSSL_PARAM params[3]
    params[0] = OSSL_PARAM_construct_octet_string(b"key", key.hmac, key.size)
    params[1] = OSSL_PARAM_construct_utf8_string(b"digest", <char *>b"sha256", 0)
    params[2] = OSSL_PARAM_construct_end()
    return EVP_MAC_CTX_set_params(mac_ctx, params) == 1


cdef int keep_session(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """An upstream gave a session for the next time; 1 says that it is ours now."""
    cdef Slot *slot = <Slot *>SSL_get_ex_data(ssl, slot_index)
    if slot is NULL:
        return 0
    SSL_SESSION_free(slot.session)
    slot.session = session
    return 1


cdef struct Password:
    const char *data
    int size


cdef int give_password(char *out, int room, int _encrypt, void *data) noexcept nogil:
    cdef Password *password = <Password *>data
    if password.data is NULL or password.size > room:
        return -1
    memcpy(out, password.data, <size_t>password.size)
    return password.size


# --- ticket keys ---


cdef class TicketKeys:
    """The keys of session tickets, which all contexts of a worker may share and which change."""

    cdef Keys *keys

    def __cinit__(self):
        self.keys = <Keys *>calloc(1, sizeof(Keys))
        if self.keys is NULL:
            raise MemoryError
        self.keys.refs = 1

    def __dealloc__(self):
        drop_keys(self.keys)

    def set(self, keys):
        """Take `keys`, the first of which makes new tickets; each is nginx's 48 or 80 bytes."""
        cdef TicketKey *to
        cdef const unsigned char *data
        if not 0 < len(keys) <= MOST_KEYS:
            raise ValueError(f"from 1 to {MOST_KEYS} keys")
        if any(len(key) not in (48, 80) for key in keys):
            raise ValueError("a key has 48 or 80 bytes")
        for i, key in enumerate(keys):
            to = &self.keys.keys[<int>i]
            data = key
            to.size = 16 if len(key) == 48 else 32
            memcpy(to.name, data, TICKET_NAME)
            if to.size == 16:
                # nginx's order: AES before HMAC in the short form, behind it in the long one.
                memcpy(to.aes, data + 16, 16)
                memcpy(to.hmac, data + 32, 16)
            else:
                memcpy(to.hmac, data + 16, 32)
                memcpy(to.aes, data + 48, 32)
        self.keys.count = <uint32_t>len(keys)


# --- the context ---


cdef class Context:
    def __cinit__(
        self, *, bint server=True, protocols=("TLSv1.2", "TLSv1.3"), long timeout_ms=60000
    ):
        cdef Extra *extra
        self.tls = <Tls *>calloc(1, sizeof(Tls))
        if self.tls is NULL:
            raise MemoryError
        self.tls.refs = 1
        self.tls.timeout_ms = timeout_ms
        ERR_clear_error()
        self.tls.ctx = SSL_CTX_new(TLS_method())
        extra = <Extra *>calloc(1, sizeof(Extra))
        if self.tls.ctx is NULL or extra is NULL:
            free(extra)
            raise fault("SSL_CTX_new() failed")
        SSL_CTX_set_ex_data(self.tls.ctx, extra_index, extra)
        for name, option in PROTOCOLS.items():
            if name not in protocols:
                SSL_CTX_set_options(self.tls.ctx, option)
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
        cdef BIO *bio = memory(pem)
        cdef X509 *certificate
        cdef int taken
        try:
            certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)
            if certificate is NULL:
                raise fault(f'cannot load certificate "{name}": PEM_read_bio_X509_AUX() failed')
            taken = SSL_CTX_use_certificate(self.tls.ctx, certificate)
            X509_free(certificate)
            if taken == 0:
                raise fault(f'SSL_CTX_use_certificate("{name}") failed')
            while True:
                certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)
                if certificate is NULL:
                    break
                if SSL_CTX_add0_chain_cert(self.tls.ctx, certificate) == 0:
                    X509_free(certificate)
                    raise fault(f'SSL_CTX_set0_chain("{name}") failed')
            if not at_end():
                raise fault(f'cannot load certificate "{name}": PEM_read_bio_X509() failed')
        finally:
            BIO_free(bio)

    def add_key(self, str name, bytes pem not None, passwords=()):
        """The private key of the certificate that was added last."""
        cdef EVP_PKEY *key = NULL
        cdef int taken
        for password in passwords or (None,):
            ERR_clear_error()
            key = read_key(pem, password)
            if key is not NULL:
                break
        if key is NULL:
            raise fault(f'cannot load certificate key "{name}": PEM_read_bio_PrivateKey() failed')
        taken = SSL_CTX_use_PrivateKey(self.tls.ctx, key)
        EVP_PKEY_free(key)
        if taken == 0:
            raise fault(f'SSL_CTX_use_PrivateKey("{name}") failed')

    def set_verify(self, str mode, int depth):
        """Ask the other side for its certificate; `mode` is one of VERIFY."""
        self.tls.verify = <uint8_t>VERIFY.index(mode)
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

    def set_curves(self, str text):
        """The curves of key exchanges, in order; "auto" leaves OpenSSL's."""
        ERR_clear_error()
        if text != "auto" and SSL_CTX_set1_curves_list(self.tls.ctx, text.encode()) == 0:
            raise fault(f'SSL_CTX_set1_curves_list("{text}") failed')

    def set_sessions(self, bytes context not None, *, long timeout, cache="none"):
        """Let clients take up their sessions.

        `context` (32 bytes at most) is of servers that may take up each other's. `timeout` is
        seconds. `cache` is "off", "none" (tickets alone), or a number of sessions kept here, 0 for
        OpenSSL's own.
        """
        if SSL_CTX_set_session_id_context(self.tls.ctx, context, <unsigned int>len(context)) == 0:
            raise fault("SSL_CTX_set_session_id_context() failed")
        SSL_CTX_set_timeout(self.tls.ctx, timeout)
        if cache == "off":
            SSL_CTX_set_session_cache_mode(self.tls.ctx, SSL_SESS_CACHE_OFF)
        elif cache == "none":
            # Clients that are told of no reuse at all may fail; nginx pretends, too.
            SSL_CTX_set_session_cache_mode(
                self.tls.ctx,
                SSL_SESS_CACHE_SERVER
                | SSL_SESS_CACHE_NO_AUTO_CLEAR
                | SSL_SESS_CACHE_NO_INTERNAL_STORE,
            )
            SSL_CTX_sess_set_cache_size(self.tls.ctx, 1)
        else:
            SSL_CTX_set_session_cache_mode(self.tls.ctx, SSL_SESS_CACHE_SERVER)
            if cache:
                SSL_CTX_sess_set_cache_size(self.tls.ctx, cache)

    def set_tickets(self, TicketKeys keys):
        """Give out tickets made with `keys`; None: give out none."""
        cdef Extra *extra = extra_of(self.tls.ctx)
        if keys is None:
            SSL_CTX_set_options(self.tls.ctx, SSL_OP_NO_TICKET)
            return
        keys.keys.refs += 1
        drop_keys(extra.keys)
        extra.keys = keys.keys
        SSL_CTX_set_tlsext_ticket_key_evp_cb(self.tls.ctx, ticket_key)

    def set_alpn(self, protocols, *, bint server=True):
        """Protocols to choose from, or to offer, the best first."""
        cdef bytes wire = b"".join(bytes([len(one)]) + one for one in protocols)
        cdef Extra *extra = extra_of(self.tls.ctx)
        if not server:
            if SSL_CTX_set_alpn_protos(self.tls.ctx, wire, <unsigned int>len(wire)) != 0:
                raise fault("SSL_CTX_set_alpn_protos() failed")
            return
        free(extra.alpn)
        extra.alpn_size = <unsigned int>len(wire)
        extra.alpn = <unsigned char *>malloc(extra.alpn_size)
        if extra.alpn is NULL:
            raise MemoryError
        memcpy(extra.alpn, <const unsigned char *>wire, extra.alpn_size)
        SSL_CTX_set_alpn_select_cb(self.tls.ctx, choose_alpn, extra)

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

    def keep_sessions(self):
        """As a client: keep what upstreams give for the next handshake."""
        SSL_CTX_set_session_cache_mode(
            self.tls.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL
        )
        SSL_CTX_sess_set_new_cb(self.tls.ctx, keep_session)


cdef BIO *memory(bytes pem) except NULL:
    cdef BIO *bio = BIO_new_mem_buf(<const char *>pem, <int>len(pem))
    if bio is NULL:
        raise MemoryError
    ERR_clear_error()
    return bio


cdef bint at_end():
    """Whether PEM reading stopped because nothing more is there; the queue is clean then."""
    cdef unsigned long error = ERR_peek_last_error()
    if ERR_GET_LIB(error) != ERR_LIB_PEM or ERR_GET_REASON(error) != PEM_R_NO_START_LINE:
        return False
    ERR_clear_error()
    return True


cdef EVP_PKEY *read_key(bytes pem, bytes password):
    cdef BIO *bio = memory(pem)
    cdef Password given
    cdef EVP_PKEY *key
    given.data = NULL
    given.size = 0
    if password is not None:
        given.data = password
        given.size = <int>len(password)
    key = PEM_read_bio_PrivateKey(bio, NULL, give_password, &given)
    BIO_free(bio)
    return key


def not_after(bytes pem not None):
    """When the first certificate of `pem` expires, in seconds since 1970; None if it is none."""
    cdef BIO *bio = memory(pem)
    cdef X509 *certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)
    cdef tm parts
    BIO_free(bio)
    if certificate is NULL:
        ERR_clear_error()
        return None
    try:
        if ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1:
            return None
        return timegm(&parts)
    finally:
        X509_free(certificate)


# --- the way to an upstream ---


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
    ):
        self.context = context
        self.name = name
        self.sends_name = sends_name
        self.verifies_name = verifies_name
        self.resumption = resumption

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
        ERR_clear_error()
        if self.resumption is not None:
            slot = <Slot *>self.resumption.slot
            slot.refs += 1
            SSL_set_ex_data(ssl, slot_index, slot)
            if slot.session is not NULL:
                SSL_set_session(ssl, slot.session)
