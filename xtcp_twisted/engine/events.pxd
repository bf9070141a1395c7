"""What an engine tells of; see events.pyx."""

from libc.stdint cimport uint32_t

from xtcp_twisted.engine.state cimport State


cdef class Events:
    cdef State state
    cdef int told              # events of the present call
    cdef uint32_t data_of      # row of the group whose data it has told of last, or MAX_GROUPS

    # Whether there may be some of TCP.
    cdef bint due(self) noexcept
    # A call begins.
    cdef void begin(self) noexcept
    # Adds one event to `found`: the list that `events` returns, or the groups of `events_by_group`.
    cdef int tell(self, object found, int kind, gd, cd, detail) except -1
    # Adds those of TCP; OSError: a group cannot get its descriptor, and what is not told stays.
    cdef int collect(self, object found, int limit) except -1
    # New requests, those of important groups first; each group that sees one hears of it.
    cdef int _requests(self, object found, int limit) except -1
    cdef int _request(self, object found, uint32_t holder, uint32_t half_open_row) except -1
    # Requests that were there when a group began to share their port.
    cdef int _offers(self, object found, int limit) except -1
    cdef int _connection(self, object found, uint32_t active_row) except -1
