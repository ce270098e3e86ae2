# distutils: libraries = ssl crypto
"""How clients take up their sessions: by tickets, which they keep, or out of a shared cache.

What OpenSSL calls here runs in the midst of a handshake, without Python. Keys and caches hang on
OpenSSL's context and live as long as that does, which may be longer than its Python half.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from tidegate.engine.openssl cimport (
    CRYPTO_EX_DATA,
    EVP_CIPHER,
    EVP_CIPHER_CTX,
    EVP_MAC_CTX,
    OSSL_PARAM,
    SSL,
    SSL_CTX,
    SSL_OP_NO_TICKET,
    SSL_SESSION,
    TLS1_3_VERSION,
    EVP_aes_128_cbc,
    EVP_aes_256_cbc,
    EVP_CIPHER_get_iv_length,
    EVP_DecryptInit_ex,
    EVP_EncryptInit_ex,
    EVP_MAC_CTX_set_params,
    OPENSSL_cleanse,
    OSSL_PARAM_construct_end,
    OSSL_PARAM_construct_octet_string,
    OSSL_PARAM_construct_utf8_string,
    RAND_bytes,
    SSL_CTX_get_ex_data,
    SSL_CTX_get_ex_new_index,
    SSL_CTX_get_timeout,
    SSL_CTX_sess_set_get_cb,
    SSL_CTX_sess_set_new_cb,
    SSL_CTX_sess_set_remove_cb,
    SSL_CTX_set_ex_data,
    SSL_CTX_set_tlsext_ticket_key_evp_cb,
    SSL_get_options,
    SSL_get_SSL_CTX,
    SSL_SESSION_get_id,
    SSL_version,
    d2i_SSL_SESSION,
    i2d_SSL_SESSION,
)
from tidegate.scoreboard.cache cimport Cache, Ring, drop_ring, forget, keep, look_up

cdef enum:
    TICKET_NAME = 16
    # Keys that tickets may be read with; real configurations have two or three.
    MOST_KEYS = 16
    # The longest session that is kept: one with a client's certificate has about 1500 bytes.
    LONGEST_SESSION = 8192
    # Thirty years: with the time of day of the kernel's clock it is still in 32 bits.
    LONGEST_SECONDS = 1 << 30


# --- tickets ---

cdef struct TicketKey:
    uint8_t name[TICKET_NAME]
    uint8_t hmac[32]
    uint8_t aes[32]
    uint32_t size  # of the AES and HMAC keys: 16 or 32

cdef struct Keys:
    int64_t refs
    uint32_t count
    TicketKey keys[MOST_KEYS]


cdef void drop_keys(Keys *keys) noexcept nogil:
    if keys is NULL:
        return
    keys.refs -= 1
    if keys.refs == 0:
        OPENSSL_cleanse(keys, sizeof(Keys))
        free(keys)


cdef void drop_keys_of(
    void *_parent, void *data, CRYPTO_EX_DATA *_all, int _index, long _number, void *_more
) noexcept nogil:
    drop_keys(<Keys *>data)


cdef int keys_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, drop_keys_of)


cdef class TicketKeys:
    """The keys of session tickets, which all contexts of a worker may share and which change."""

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


cdef use_tickets(SSL_CTX *ctx, TicketKeys keys):
    """Give out tickets made with `keys`."""
    drop_keys(<Keys *>SSL_CTX_get_ex_data(ctx, keys_index))
    keys.keys.refs += 1
    SSL_CTX_set_ex_data(ctx, keys_index, keys.keys)
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key)


cdef int ticket_key(
    SSL *ssl,
    unsigned char *name,
    unsigned char *iv,
    EVP_CIPHER_CTX *cipher_ctx,
    EVP_MAC_CTX *mac_ctx,
    int encrypt,
) noexcept nogil:
    """Give OpenSSL the key of a ticket: the first for a new one, else the one that it names."""
    cdef Keys *keys = <Keys *>SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), keys_index)
    cdef TicketKey *key
    cdef const EVP_CIPHER *cipher
    cdef uint32_t i = 0
    if keys is NULL:
        # The rules are those of another server than the one whose context called us.
        return -1 if encrypt else 0
    if encrypt:
        key = &keys.keys[0]
    else:
        while i < keys.count and memcmp(name, keys.keys[i].name, TICKET_NAME) != 0:
            i += 1
        if i == keys.count:
            return 0
        key = &keys.keys[i]
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


# --- the shared cache ---


cdef void drop_ring_of(
    void *_parent, void *data, CRYPTO_EX_DATA *_all, int _index, long _number, void *_more
) noexcept nogil:
    drop_ring(<Ring *>data)


cdef int ring_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, drop_ring_of)


cdef use_cache(SSL_CTX *ctx, Cache cache):
    """Keep sessions in `cache`, where OpenSSL's mode is to keep any."""
    drop_ring(<Ring *>SSL_CTX_get_ex_data(ctx, ring_index))
    cache.ring.refs += 1
    SSL_CTX_set_ex_data(ctx, ring_index, cache.ring)
    SSL_CTX_sess_set_new_cb(ctx, keep_session)
    SSL_CTX_sess_set_get_cb(ctx, find_session)
    SSL_CTX_sess_set_remove_cb(ctx, forget_session)


cdef inline Ring *ring_of(const SSL_CTX *ctx) noexcept nogil:
    """The cache of a context; NULL where it has none, though that of its address calls us."""
    return <Ring *>SSL_CTX_get_ex_data(ctx, ring_index)


cdef int keep_session(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """A handshake made a session; 0 says that it is not ours."""
    cdef SSL_CTX *ctx = SSL_get_SSL_CTX(ssl)
    cdef Ring *ring = ring_of(ctx)
    cdef unsigned char data[LONGEST_SESSION]
    cdef unsigned char *end = data
    cdef const unsigned char *id
    cdef unsigned int id_size = 0
    cdef long seconds = min(SSL_CTX_get_timeout(ctx), <long>LONGEST_SECONDS)
    cdef int size
    if ring is NULL:
        return 0
    if SSL_version(ssl) == TLS1_3_VERSION and not SSL_get_options(ssl) & SSL_OP_NO_TICKET:
        # It is in a ticket; OpenSSL only tells of it.
        return 0
    size = i2d_SSL_SESSION(session, NULL)
    if not 0 < size <= LONGEST_SESSION:
        return 0
    i2d_SSL_SESSION(session, &end)
    id = SSL_SESSION_get_id(session, &id_size)
    keep(ring, id, id_size, data, <uint32_t>size, <uint32_t>seconds)
    OPENSSL_cleanse(data, <size_t>size)
    return 0


cdef SSL_SESSION *find_session(
    SSL *ssl, const unsigned char *id, int id_size, int *copy
) noexcept nogil:
    """A client names a session. OpenSSL sees to it that it is of the same context, and valid."""
    cdef unsigned char data[LONGEST_SESSION]
    cdef const unsigned char *at = data
    cdef SSL_SESSION *session = NULL
    cdef Ring *ring = ring_of(SSL_get_SSL_CTX(ssl))
    cdef uint32_t size
    copy[0] = 0
    if ring is NULL:
        return NULL
    size = look_up(ring, id, <uint32_t>id_size, data, LONGEST_SESSION)
    if size:
        session = d2i_SSL_SESSION(NULL, &at, size)
        OPENSSL_cleanse(data, size)
    return session


cdef void forget_session(SSL_CTX *ctx, SSL_SESSION *session) noexcept nogil:
    cdef unsigned int id_size = 0
    cdef const unsigned char *id = SSL_SESSION_get_id(session, &id_size)
    if ring_of(ctx) is not NULL:
        forget(ring_of(ctx), id, id_size)
