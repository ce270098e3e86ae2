"""Where native sessions live: chunks that are taken as needed and used again, found by handle."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from tidegate.engine.types cimport FREE, Session, Slab

cdef Session *slab_at(Slab *slab, uint32_t index) noexcept nogil:
    """The session of an index below what was taken; it may be FREE."""
    return &slab.chunks[index // CHUNK][index % CHUNK]


cdef bint grow(Slab *slab) noexcept nogil:
    cdef Session **chunks
    cdef Session *chunk
    cdef uint32_t i
    chunks = <Session **>realloc(slab.chunks, (slab.chunks_count + 1) * sizeof(Session *))
    if chunks is NULL:
        return False
    slab.chunks = chunks
    chunk = <Session *>calloc(CHUNK, sizeof(Session))
    if chunk is NULL:
        return False
    chunks[slab.chunks_count] = chunk
    # Handed out in ascending order, so that few sessions touch few pages.
    for i in range(CHUNK, 0, -1):
        chunk[i - 1].index = slab.chunks_count * CHUNK + i - 1
        chunk[i - 1].next = slab.free
        slab.free = &chunk[i - 1]
    slab.chunks_count += 1
    return True


cdef bint slab_keep_room(Slab *slab) noexcept nogil:
    """See that one more session finds room; False without memory."""
    return slab.free is not NULL or grow(slab)


cdef Session *slab_take(Slab *slab) noexcept nogil:
    """A cleared session with a new generation, or NULL without memory."""
    cdef Session *session
    cdef uint32_t index, generation
    if not slab_keep_room(slab):
        return NULL
    session = slab.free
    slab.free = session.next
    index = session.index
    generation = session.generation + 1
    memset(session, 0, sizeof(Session))
    session.index = index
    session.generation = generation if generation else 1
    slab.used += 1
    return session


cdef void slab_give(Slab *slab, Session *session) noexcept nogil:
    session.state = FREE
    session.next = slab.free
    slab.free = session
    slab.used -= 1


cdef Session *slab_find(Slab *slab, uint64_t handle) noexcept nogil:
    """The session of a handle, or NULL when it is gone."""
    cdef uint32_t index = <uint32_t>handle
    cdef Session *session
    if index // CHUNK >= slab.chunks_count:
        return NULL
    session = slab_at(slab, index)
    if session.state == FREE or session.generation != <uint32_t>(handle >> 32):
        return NULL
    return session


cdef void slab_free(Slab *slab) noexcept nogil:
    cdef uint32_t i
    for i in range(slab.chunks_count):
        free(slab.chunks[i])
    free(slab.chunks)
    slab.chunks = NULL
    slab.chunks_count = slab.used = 0
    slab.free = NULL
