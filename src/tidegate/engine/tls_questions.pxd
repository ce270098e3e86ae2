from tidegate.engine.openssl cimport SSL

cdef int wait_for_rules(SSL *ssl, int *_alert, void *_data) noexcept nogil
cdef asked_name(SSL *ssl)
cdef void greet(SSL *ssl) noexcept
cdef int ask_pairs(SSL *ssl, void *_data) noexcept nogil
cdef give_answer(SSL *ssl, pairs)
