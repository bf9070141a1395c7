"""Tables of rows of one size, taken and given back by index.

A plain slab is a LIFO free list over rows that were never touched before, so
that memory stays dense.  A generation slab adds two things: the first word
after `generation_at` counts takings and returns (odd: in use), and a returned
row waits in a FIFO quarantine before it is taken again, so a stale id meets a
row that is not in use rather than somebody else's.
"""

from libc.stdint cimport uint32_t

cdef enum:
    NONE = 0xFFFFFFFF          # no row
    QUARANTINE = 1024          # rows

cdef struct slab_t:
    char *rows
    uint32_t stride            # bytes of a row
    uint32_t capacity          # rows
    uint32_t used              # rows taken
    uint32_t peak              # most rows taken at one time
    uint32_t fresh             # rows from here on were never taken
    uint32_t free              # first row of the free list; the link is the row's first word
    uint32_t generation_at     # offset of the generation in the row; 0: none
    uint32_t waiting           # rows in quarantine
    uint32_t oldest            # position of the oldest in the quarantine
    uint32_t *quarantine       # QUARANTINE rows, or NULL


cdef inline char *slab_row(const slab_t *slab, uint32_t row) noexcept nogil:
    return slab.rows + <size_t>row * slab.stride


cdef inline uint32_t *slab_generation(const slab_t *slab, uint32_t row) noexcept nogil:
    return <uint32_t *>(slab_row(slab, row) + slab.generation_at)


cdef inline uint32_t slab_free_rows(const slab_t *slab) noexcept nogil:
    return slab.capacity - slab.used


cdef void slab_open(
    slab_t *slab, void *rows, uint32_t stride, uint32_t capacity, uint32_t generation_at, uint32_t *quarantine
) noexcept nogil

cdef extern from *:
    """
    /* The row that is taken next is fetched while the one before is filled. */
    static inline void xtcp_slab_fetch(const char *row, unsigned stride)
    {
        #pragma GCC unroll 4
        for (unsigned line = 0; line < stride; line += 64)
            __builtin_prefetch(row + line, 1);
    }
    """
    void xtcp_slab_fetch(const char *row, unsigned stride) noexcept nogil


# Asks the processor for a row that is looked at soon.
cdef inline void slab_fetch_row(const slab_t *slab, uint32_t row) noexcept nogil:
    xtcp_slab_fetch(slab_row(slab, row), slab.stride)


# A row of a plain slab, with whatever is in it; NONE when all are taken.  For rows that are many and
# mostly payload, whose owner sets the rest.  `stride` is the slab's, as a constant for the compiler.
cdef inline uint32_t slab_take_raw(slab_t *slab, uint32_t stride) noexcept nogil:
    cdef uint32_t row = slab.free
    if row != NONE:
        slab.free = (<uint32_t *>(slab.rows + <size_t>row * stride))[0]
        if slab.free != NONE:
            xtcp_slab_fetch(slab.rows + <size_t>slab.free * stride, stride)
    elif slab.fresh < slab.capacity:
        row = slab.fresh
        slab.fresh += 1
    else:
        return NONE
    slab.used += 1
    if slab.used > slab.peak:
        slab.peak = slab.used
    return row

# A row, zeroed but for its generation; NONE when all are taken.
cdef uint32_t slab_take(slab_t *slab) noexcept nogil
cdef void slab_return(slab_t *slab, uint32_t row) noexcept nogil
# `count` rows of a plain slab, each linked to the next by its first word, without looking at those between.
cdef void slab_return_chain(slab_t *slab, uint32_t first, uint32_t last, uint32_t count) noexcept nogil
