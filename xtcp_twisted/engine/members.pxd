"""The connections of a group, found by walking the record table: for broadcasts and at the end."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport stack_t


# Whether the application has a connection of this group in this record.
cdef bint group_has(const stack_t *s, uint32_t group_row, uint32_t slot) noexcept nogil
# The ids of all connections that the application has.
cdef list group_members(const stack_t *s, uint32_t group_row)
# (ids, row to go on at or 0): those that have nothing pending and that have answered all that was delivered.
# Looks at `most` rows from `first` on.
cdef object quiet_members(const stack_t *s, uint32_t group_row, uint32_t first, uint32_t most)
# A connection that was accepted and whose handshake is not complete ends by refusing its request;
# False: it is complete, and nothing was done.
cdef bint promise_refused(conn_t *c) noexcept nogil
# From now on the connections of a group are ended by the slices of `members_sweep`, until `group_swept`.
cdef void group_sweep(stack_t *s, uint32_t group_row, bint abort) noexcept nogil
# One slice of the walk that ends the connections of all closing groups: over `rows` records at most.
cdef void members_sweep(stack_t *s, uint32_t rows) noexcept nogil
# Whether the walk has seen all connections of a group, which then is done with.
cdef bint group_swept(stack_t *s, uint32_t group_row) noexcept nogil
