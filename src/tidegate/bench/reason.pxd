from tidegate.bench.types cimport Fault, Load

cdef void note(Load *load, Fault fault, unsigned long code, long verdict) noexcept nogil
