# distutils: libraries = ssl crypto
"""Certificates and keys, as files in PEM hold them: see the stub."""

from libc.string cimport memcpy
from libc.time cimport tm

from tidegate.engine.openssl cimport (
    BIO,
    ERR_LIB_PEM,
    EVP_PKEY,
    PEM_R_NO_START_LINE,
    SSL,
    X509,
    ASN1_TIME_to_tm,
    BIO_free,
    BIO_new_mem_buf,
    ERR_clear_error,
    ERR_GET_LIB,
    ERR_GET_REASON,
    ERR_peek_last_error,
    EVP_PKEY_free,
    PEM_read_bio_PrivateKey,
    PEM_read_bio_X509,
    PEM_read_bio_X509_AUX,
    SSL_set1_chain,
    SSL_use_certificate,
    SSL_use_PrivateKey,
    X509_check_private_key,
    X509_free,
    X509_get0_notAfter,
    sk_X509_new_null,
    sk_X509_pop_free,
    sk_X509_push,
    timegm,
)
from tidegate.engine.tls cimport FAULT_SIZE, put_queue


class TlsError(Exception):
    """OpenSSL does not take what the configuration gives it; in nginx's words."""


cdef fault(str words):
    """`words` with OpenSSL's errors behind them."""
    cdef char text[FAULT_SIZE]
    cdef size_t size = put_queue(text, 0)
    return TlsError(words + text[:size].decode("utf-8", "replace"))


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


cdef class Certificate:
    def __init__(self, str name, bytes pem not None):
        cdef BIO *bio = memory(pem)
        cdef X509 *certificate
        self.name = name
        try:
            self.first = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)
            if self.first is NULL:
                raise fault(f'cannot load certificate "{name}": PEM_read_bio_X509_AUX() failed')
            self.chain = sk_X509_new_null()
            while True:
                certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)
                if certificate is NULL:
                    break
                if self.chain is NULL or sk_X509_push(self.chain, certificate) == 0:
                    X509_free(certificate)
                    raise MemoryError
            if not at_end():
                raise fault(f'cannot load certificate "{name}": PEM_read_bio_X509() failed')
        finally:
            BIO_free(bio)

    def __dealloc__(self):
        X509_free(self.first)
        sk_X509_pop_free(self.chain, X509_free)


cdef struct Password:
    const char *data
    int size


cdef int give_password(char *out, int room, int _encrypt, void *data) noexcept nogil:
    cdef Password *password = <Password *>data
    if password.data is NULL or password.size > room:
        return -1
    memcpy(out, password.data, <size_t>password.size)
    return password.size


cdef class Key:
    def __init__(self, str name, bytes pem not None, passwords=()):
        self.name = name
        for password in passwords or (None,):
            ERR_clear_error()
            self.key = read_key(pem, password)
            if self.key is not NULL:
                return
        raise fault(f'cannot load certificate key "{name}": PEM_read_bio_PrivateKey() failed')

    def __dealloc__(self):
        EVP_PKEY_free(self.key)


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


def check_pair(Certificate certificate not None, Key key not None):
    """Whether a key is that of a certificate; raises TlsError."""
    ERR_clear_error()
    if X509_check_private_key(certificate.first, key.key) != 1:
        raise fault(f'SSL_use_PrivateKey("{key.name}") failed')


cdef give_pairs(SSL *ssl, pairs):
    """Let one connection use these pairs of Certificate and Key; raises TlsError."""
    cdef Certificate certificate
    cdef Key key
    ERR_clear_error()
    for certificate, key in pairs:
        if SSL_use_certificate(ssl, certificate.first) == 0:
            raise fault(f'SSL_use_certificate("{certificate.name}") failed')
        if SSL_set1_chain(ssl, certificate.chain) == 0:
            raise fault(f'SSL_set0_chain("{certificate.name}") failed')
        if SSL_use_PrivateKey(ssl, key.key) == 0:
            raise fault(f'SSL_use_PrivateKey("{key.name}") failed')


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
