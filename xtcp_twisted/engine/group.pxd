from libc.stdint cimport int64_t, uint32_t, uint64_t

from xtcp_twisted.engine.state cimport State
from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.groups cimport group_row_t


cdef class Group:
    cdef State state
    cdef readonly uint32_t row
    cdef readonly uint64_t serial
    cdef readonly object pool
    cdef readonly str name
    cdef readonly object address
    cdef readonly int domain
    cdef readonly object options
    cdef readonly bint closed

    cdef group_row_t *_open_row(self) except NULL
    cdef int _find(self, object cd, conn_t *c) except -1
    cdef int _descriptor(self) except -1
    cdef int64_t _pending_row(self, object pending_id) except -1
    cdef int _close(self, bint abort, bint whole) except -1
