from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport stack_t
from xtcp_twisted.wire.segment cimport segment_t


# Moves a connection's 4-tuple into TIME-WAIT; its local address goes along.
cdef void time_wait_enter(conn_t *c) noexcept nogil
# A segment for an entry.  True: it is a SYN that may open the 4-tuple again, to a group that listens.
cdef bint time_wait_segment(stack_t *s, uint32_t row, const segment_t *seg) noexcept nogil
# Ends an entry whose 4-tuple is opened again; returns the initial sequence number of the new connection.
cdef uint32_t time_wait_reopen(stack_t *s, uint32_t row, const segment_t *seg, uint32_t tag) noexcept nogil
# Ends what has expired, a bounded part of it.
cdef void time_wait_age(stack_t *s) noexcept nogil
