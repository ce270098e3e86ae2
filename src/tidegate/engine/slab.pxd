from libc.stdint cimport uint32_t, uint64_t

from tidegate.engine.types cimport Session, Slab

cdef enum:
    CHUNK = 128  # sessions taken from the system at once

cdef Session *slab_at(Slab *slab, uint32_t index) noexcept nogil
cdef bint slab_keep_room(Slab *slab) noexcept nogil
cdef Session *slab_take(Slab *slab) noexcept nogil
cdef void slab_give(Slab *slab, Session *session) noexcept nogil
cdef Session *slab_find(Slab *slab, uint64_t handle) noexcept nogil
cdef void slab_free(Slab *slab) noexcept nogil


cdef inline uint64_t handle_of(Session *session) noexcept nogil:
    """What Python knows a session by; never a pointer, so that a late answer meets nobody else."""
    return (<uint64_t>session.generation << 32) | session.index
