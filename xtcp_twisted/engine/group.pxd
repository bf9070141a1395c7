from libc.stdint cimport int64_t, uint64_t

from xtcp_twisted.engine.connections cimport Connections


cdef class Group(Connections):
    cdef readonly uint64_t serial
    cdef readonly int domain
    cdef readonly object options

    cdef int _descriptor(self) except -1
    cdef int64_t _pending_row(self, object pending_id) except -1
    cdef bint _sees(self, object pending_id) except -1
    cdef int _close(self, bint abort) except -1
