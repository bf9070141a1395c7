from libc.stdint cimport uint32_t, uint64_t

from xtcp_twisted.engine.state cimport State
from xtcp_twisted.tcp.groups cimport pool_row_t


cdef class Pool:
    cdef State state
    cdef readonly uint32_t row
    cdef readonly uint64_t serial
    cdef readonly object engine
    cdef readonly str name
    cdef readonly object size
    cdef readonly object thresholds
    cdef readonly str throttling
    cdef readonly bint closed
    cdef dict members          # group -> None, in the order in which they were opened

    cdef pool_row_t *_open_row(self) except NULL
    cdef int _use_thresholds(self, thresholds) except -1
    cdef int _use_throttling(self, throttling) except -1


# Closes a group; its connections end as the engine sweeps, those of a Unix socket with `Pool.close`.
cdef int close_group(object group, bint abort) except -1
