from tidegate.engine.openssl cimport BIO, EVP_PKEY, SSL, X509, X509_CHAIN

cdef fault(str words)
cdef BIO *memory(bytes pem) except NULL
cdef bint at_end()

cdef class Certificate:
    cdef readonly str name
    cdef X509 *first
    cdef X509_CHAIN *chain

cdef class Key:
    cdef readonly str name
    cdef EVP_PKEY *key

cdef give_pairs(SSL *ssl, pairs)
