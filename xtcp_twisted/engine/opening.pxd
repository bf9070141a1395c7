"""Active open: from what the application names to a record in SYN-SENT (P09)."""

from libc.stdint cimport int64_t, uint32_t

from xtcp_twisted.engine.state cimport State


# The slot of the new connection.  `remote` and `local` are (host, port), `local` or parts of it may be
# left open; `address` is the group's own, or None; `timeout_s` None takes the group's.
cdef int64_t connection_open(
    State state, uint32_t group_row, object address, object remote, object local, object timeout_s
) except -1
