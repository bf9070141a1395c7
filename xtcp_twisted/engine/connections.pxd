from libc.stdint cimport uint32_t

from xtcp_twisted.engine.state cimport State
from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.groups cimport group_row_t


cdef class Connections:
    cdef State state
    cdef readonly uint32_t row
    cdef readonly object pool
    cdef readonly str name
    cdef readonly object address
    cdef readonly bint closed

    cdef group_row_t *_open_row(self) except NULL
    cdef bint _locate(self, object cd, conn_t *c) noexcept
    cdef int _find(self, object cd, conn_t *c) except -1
    cdef int _share_with(self, list receivers, list payloads, uint32_t length) except -1
    cdef int _share_with_all(self, list payloads, uint32_t length) except -1
