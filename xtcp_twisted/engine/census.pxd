"""Counting connections by state and idle time, in slices."""

from libc.stdint cimport uint32_t, uint64_t

from xtcp_twisted.engine.state cimport State

cdef enum:
    MOST_EDGES = 15

cdef struct tally_t:
    uint32_t edges_ms[15]
    int edges
    uint64_t counts[11][16]    # by state and column


cdef class Census:
    cdef State state
    cdef readonly tuple edges_s
    cdef tally_t tally
    cdef int table             # of TABLES; behind the last one the census is complete
    cdef uint32_t row          # the next one of it

    cdef void _walk(self, uint32_t rows) noexcept nogil
