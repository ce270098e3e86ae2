"""Why something failed, beyond its class: OpenSSL's errors, HTTP statuses, codes of WebSocket."""

from tidegate.bench.types cimport REASONS, Fault, Load, Reason


cdef void note(Load *load, Fault fault, unsigned long code, long verdict) noexcept nogil:
    """Count a reason; those that there is no room for are left out."""
    cdef int i
    cdef Reason *reason
    for i in range(REASONS):
        reason = &load.reasons[i]
        if reason.count == 0:
            reason.fault = <int>fault
            reason.code = code
            reason.verdict = verdict
        if reason.fault == <int>fault and reason.code == code and reason.verdict == verdict:
            reason.count += 1
            return
