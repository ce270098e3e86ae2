from tidegate.engine.openssl cimport SSL

cdef tls_fact(SSL *ssl, str name)
