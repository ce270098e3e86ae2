# distutils: libraries = ssl crypto
"""Handshakes that pause until Python has answered: by whose rules, with which certificates.

OpenSSL asks, and the handshake stops there as if it had to wait for bytes; the loop sees why
(`SHAKE_GREETED`, `SHAKE_ASKS`) and calls the session, whose answer is hung on the SSL.
"""

from tidegate.engine.openssl cimport (
    SSL,
    SSL_CLIENT_HELLO_RETRY,
    SSL_CLIENT_HELLO_SUCCESS,
    SSL_client_hello_get0_ext,
    SSL_get_ex_data,
    SSL_get_ex_new_index,
    SSL_set_ex_data,
)
from tidegate.engine.tls_pem cimport give_pairs

cdef enum:
    # What a handshake that asked for certificates hangs on its SSL.
    ANSWER_GIVEN = 1
    ANSWER_REFUSED
    # The extension with the name of the server, and what in it stands before the name.
    SERVER_NAME = 0
    NAME_HEAD = 5
    # A name of DNS; OpenSSL refuses longer ones later on (TLSEXT_MAXLEN_host_name).
    LONGEST_NAME = 255


cdef int answer_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL)
cdef int greeted_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL)


# --- by whose rules ---


cdef int wait_for_rules(SSL *ssl, int *_alert, void *_data) noexcept nogil:
    """Let the handshake pause, before anything is chosen, until `greet`."""
    if SSL_get_ex_data(ssl, greeted_index) is not NULL:
        return SSL_CLIENT_HELLO_SUCCESS
    return SSL_CLIENT_HELLO_RETRY


cdef void greet(SSL *ssl) noexcept:
    """Let a handshake go on that has paused at its hello."""
    SSL_set_ex_data(ssl, greeted_index, <void *>ssl)


cdef asked_name(SSL *ssl):
    """The name in the hello at which a handshake has paused (RFC 6066, section 3); b"" is none."""
    cdef const unsigned char *data = NULL
    cdef size_t size = 0
    if SSL_client_hello_get0_ext(ssl, SERVER_NAME, &data, &size) != 1:
        return b""
    if not NAME_HEAD < size <= NAME_HEAD + LONGEST_NAME:
        return b""
    name = data[NAME_HEAD:size]
    # The list, a kind, and the name's own length; OpenSSL refuses what does not fit later on.
    if data[2] != 0 or len(name) != (data[3] << 8) + data[4]:
        return b""
    return name


# --- with which certificates ---


cdef int ask_pairs(SSL *ssl, void *_data) noexcept nogil:
    """Let the handshake pause until `give_answer` has told how it goes on."""
    cdef size_t answer = <size_t>SSL_get_ex_data(ssl, answer_index)
    if answer == ANSWER_GIVEN:
        return 1
    return 0 if answer == ANSWER_REFUSED else -1


cdef give_answer(SSL *ssl, pairs):
    """The pairs that a handshake has paused for; None refuses the client. Raises TlsError."""
    # Refused, should they not be taken.
    SSL_set_ex_data(ssl, answer_index, <void *>ANSWER_REFUSED)
    if pairs is not None:
        give_pairs(ssl, pairs)
        SSL_set_ex_data(ssl, answer_index, <void *>ANSWER_GIVEN)
