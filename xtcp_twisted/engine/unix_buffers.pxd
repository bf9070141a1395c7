"""What Unix-socket connections have in the buffers that all connections share."""

from libc.stdint cimport uint32_t, uint64_t

from xtcp_twisted.engine.state cimport State
from xtcp_twisted.tcp.groups cimport pool_row_t


cdef class Inbox:
    cdef State state
    cdef pool_row_t *pool
    cdef uint32_t head         # first chunk, or NONE
    cdef uint32_t tail
    cdef uint32_t chunks
    cdef readonly uint64_t length


cdef class Outbox:
    cdef State state
    cdef object payloads       # deque of (first chunk, bytes)
    cdef uint32_t chunk        # where the first of them goes on
    cdef uint32_t offset       # in that chunk
    cdef uint32_t left         # bytes left of that payload
    cdef uint32_t chunks
    cdef readonly uint64_t length

    cdef int _enter(self, uint32_t payload, uint32_t length) except -1
    cdef int _taken(self, uint32_t length) except -1


cdef class Shared:
    cdef State state
    cdef readonly list payloads
    cdef readonly uint64_t length
