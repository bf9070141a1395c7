from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport stack_t
from xtcp_twisted.wire.segment cimport segment_t


# A segment that belongs to no connection.  True: it has returned a SYN cookie and `c` is the new
# connection, whose first segment this is.
cdef bint listen_segment(stack_t *s, const segment_t *seg, uint32_t tag, conn_t *c) noexcept nogil
# A SYN that may open a 4-tuple in TIME-WAIT again; `row` is that of the entry.
cdef void listen_reopen(stack_t *s, uint32_t row, const segment_t *seg, uint32_t tag) noexcept nogil
# A segment for a half-open entry.  True: the handshake is complete and `c` is the new connection,
# whose first segment this is.
cdef bint half_open_segment(
    stack_t *s, uint32_t row, const segment_t *seg, uint32_t tag, conn_t *c
) noexcept nogil
