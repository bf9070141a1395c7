"""Who holds much of a buffer: what a walk for its relief has found (relief.pyx)."""

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    HOLDERS = 256              # most connections that one walk may abort

# A connection and how much there is to be won by its end.
cdef struct holder_t:
    uint64_t weight
    uint32_t slot
    uint32_t generation

# Since when the peer of a connection has acknowledged less than a segment; counts with ACTIVE_WATCHED.
cdef struct stall_t:
    uint32_t snd_una           # at that time
    uint32_t since             # ms

cdef struct relief_t:
    bint walking
    bint parts                 # of a pool that parts of requests may fill: only those are looked for
    uint64_t held_parts        # chunks of those that were visited, and of all in the pool
    uint64_t held
    uint32_t buffer            # 0: the transmit buffer; else one more than a pool's row
    uint32_t to_visit          # records that this walk has still to visit
    uint32_t most              # so many may be aborted
    uint32_t found
    holder_t holders[HOLDERS]  # a heap, the least worthwhile first
    stall_t *stalls            # by row of records: touched for those who send while the buffer discards
