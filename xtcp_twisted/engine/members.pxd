"""The connections of a group, found by walking the record table: for broadcasts and at the end."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport stack_t


# The ids of all connections that the application has.
cdef list group_members(const stack_t *s, uint32_t group_row)
# (ids, row to go on at or 0): those that have nothing pending and that have answered all that was delivered.
# Looks at `most` rows from `first` on.
cdef object quiet_members(const stack_t *s, uint32_t group_row, uint32_t first, uint32_t most)
# A connection that was accepted and whose handshake is not complete ends by refusing its request;
# False: it is complete, and nothing was done.
cdef bint promise_refused(conn_t *c) noexcept nogil
# Ends the connections of a closing group; looks at `most` records at a time, from where it stopped.
cdef void group_sweep(stack_t *s, uint32_t group_row, uint32_t most) noexcept nogil
