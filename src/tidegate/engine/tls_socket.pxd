from tidegate.engine.types cimport End

cdef enum:
    # More in a row that brings no data is an attack; BoringSSL draws the line here, too. New keys
    # that both sides are to have count up to five: our answer is in it.
    MOST_CHATTER = 32

cdef bint tls_attach(End *end) noexcept nogil
