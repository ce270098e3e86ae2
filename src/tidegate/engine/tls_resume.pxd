from tidegate.engine.openssl cimport SSL_CTX
from tidegate.scoreboard.cache cimport Cache

cdef struct Keys

cdef class TicketKeys:
    cdef Keys *keys

cdef use_tickets(SSL_CTX *ctx, TicketKeys keys)
cdef use_cache(SSL_CTX *ctx, Cache cache)
