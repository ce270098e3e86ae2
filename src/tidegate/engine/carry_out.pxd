from tidegate.engine.outcome cimport Relay
from tidegate.engine.types cimport Core, Session

cdef carry_out(Core *core, Session *s, outcome)
cdef become(Session *s, session)
cdef set_terms(Session *s, Relay relay)
cdef settle(Session *s)
