"""The connections of a group, found by walking the record table: for broadcasts and at the end."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport stack_t


# The ids of all connections that the application has.
cdef list group_members(const stack_t *s, uint32_t group_row)
# A connection that was accepted and whose handshake is not complete ends by refusing its request;
# False: it is complete, and nothing was done.
cdef bint promise_refused(conn_t *c) noexcept nogil
# Ends the connections of a closing group; looks at `most` records at a time, from where it stopped.
cdef void group_sweep(stack_t *s, uint32_t group_row, uint32_t most) noexcept nogil
