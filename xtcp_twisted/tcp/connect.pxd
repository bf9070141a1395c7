"""Active open (P09): from OPEN to ESTABLISHED (RFC 9293 sections 3.5, 3.10.1 and 3.10.7.3)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport stack_t
from xtcp_twisted.wire.segment cimport segment_t


# The OPEN call: a record in SYN-SENT for the addresses and ports of `tuple_`, whose SYN leaves with the
# next flush and is given up `timeout_ms` after that.  NONE: a table is full.
cdef uint32_t connect_open(
    stack_t *s, uint32_t group_row, const segment_t *tuple_, uint32_t timeout_ms
) noexcept nogil
# A segment for a connection whose SYN is not acknowledged.  The record may be gone when it returns.
cdef void connect_segment(conn_t *c, segment_t *seg) noexcept nogil
# Fills in our SYN, or SYN-ACK, which leaves now.
cdef void connect_syn(conn_t *c, segment_t *fields) noexcept nogil
# The retransmission timer expired: the SYN leaves again.
cdef void connect_again(conn_t *c) noexcept nogil
