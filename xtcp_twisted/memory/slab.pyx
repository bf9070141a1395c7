"""Tables of rows of one size; see slab.pxd."""

from libc.stdint cimport uint32_t
from libc.string cimport memset

cdef extern from *:
    """
    #ifndef XTCP_DEBUG
    #define XTCP_DEBUG 0
    #endif
    """
    const int XTCP_DEBUG

cdef enum:
    POISON = 0xDB              # what a returned row is filled with in the debug build


cdef void slab_open(
    slab_t *slab, void *rows, uint32_t stride, uint32_t capacity, uint32_t generation_at, uint32_t *quarantine
) noexcept nogil:
    memset(slab, 0, sizeof(slab_t))
    slab.rows = <char *>rows
    slab.stride = stride
    slab.capacity = capacity
    slab.free = NONE
    slab.generation_at = generation_at
    slab.quarantine = quarantine


cdef uint32_t _pop(slab_t *slab) noexcept nogil:
    """The best row to reuse: a free one, an untouched one, last the oldest in quarantine."""
    cdef uint32_t row = slab.free
    if row != NONE:
        slab.free = (<uint32_t *>slab_row(slab, row))[0]
        if slab.free != NONE:
            slab_fetch_row(slab, slab.free)
    elif slab.fresh < slab.capacity:
        row = slab.fresh
        slab.fresh += 1
    elif slab.waiting:
        row = slab.quarantine[slab.oldest]
        slab.oldest = (slab.oldest + 1) % QUARANTINE
        slab.waiting -= 1
    return row


cdef uint32_t slab_take(slab_t *slab) noexcept nogil:
    cdef uint32_t generation = 0
    cdef uint32_t row = _pop(slab)
    if row == NONE:
        return NONE
    if slab.generation_at:
        generation = slab_generation(slab, row)[0]
    memset(slab_row(slab, row), 0, slab.stride)
    if slab.generation_at:
        # 31 bits, odd while in use: an id is a positive 64-bit integer.
        slab_generation(slab, row)[0] = (generation + 1) & 0x7FFFFFFF
    slab.used += 1
    if slab.used > slab.peak:
        slab.peak = slab.used
    return row


cdef void _push(slab_t *slab, uint32_t row) noexcept nogil:
    (<uint32_t *>slab_row(slab, row))[0] = slab.free
    slab.free = row


cdef void _poison(slab_t *slab, uint32_t row) noexcept nogil:
    """Whoever still reads a returned row of the debug build reads nonsense."""
    cdef uint32_t generation = slab_generation(slab, row)[0]
    memset(slab_row(slab, row), POISON, slab.stride)
    if slab.generation_at:
        slab_generation(slab, row)[0] = generation


cdef void slab_return(slab_t *slab, uint32_t row) noexcept nogil:
    cdef uint32_t position
    slab.used -= 1
    if slab.generation_at:
        slab_generation(slab, row)[0] = (slab_generation(slab, row)[0] + 1) & 0x7FFFFFFF
    if XTCP_DEBUG:
        _poison(slab, row)
    if slab.quarantine == NULL:
        _push(slab, row)
        return
    if slab.waiting == QUARANTINE:
        _push(slab, slab.quarantine[slab.oldest])
        slab.oldest = (slab.oldest + 1) % QUARANTINE
        slab.waiting -= 1
    position = (slab.oldest + slab.waiting) % QUARANTINE
    slab.quarantine[position] = row
    slab.waiting += 1


cdef void slab_return_chain(slab_t *slab, uint32_t first, uint32_t last, uint32_t count) noexcept nogil:
    cdef uint32_t following
    if XTCP_DEBUG:
        while count:
            following = (<uint32_t *>slab_row(slab, first))[0]
            slab_return(slab, first)
            first = following
            count -= 1
        return
    (<uint32_t *>slab_row(slab, last))[0] = slab.free
    slab.free = first
    slab.used -= count
