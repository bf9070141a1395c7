"""Connection requests that wait for the application, as `Group` shows them (P08)."""

from libc.stdint cimport int64_t, uint32_t

from xtcp_twisted.engine.state cimport State


# [(pending_id, (host, port))] of a group, the oldest first.
cdef list requests_of(State state, uint32_t group_row, uint32_t limit)
# The half-open row of a request; None names the oldest.  Raises NothingPending, StalePending.
cdef int64_t request_row(State state, uint32_t group_row, object group_name, object pending_id) except -1
# Who asks: (host, port).
cdef object request_from(State state, uint32_t row)
# Accepts it into a group, which may be another one; the connection's id.  Raises PoolExhausted.
cdef object request_accept(State state, uint32_t row, uint32_t group_row)
# Posts `n` accept credits; UNLIMITED for all, 0 takes every credit back.
cdef int request_credit(State state, uint32_t group_row, object n) except -1
