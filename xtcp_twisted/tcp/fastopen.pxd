"""TCP Fast Open (RFC 7413), the server's side (P38): the request comes with the SYN."""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.groups cimport group_row_t
from xtcp_twisted.tcp.layout cimport half_open_t, stack_t
from xtcp_twisted.wire.segment cimport segment_t


# Whether a SYN may open a connection of the group by its cookie.
cdef bint fast_open_admits(stack_t *s, group_row_t *g, const segment_t *seg) noexcept nogil
# What the SYN of a new entry asks of Fast Open: its data is kept, or its SYN-ACK is to bring a cookie.
cdef void fast_open_offer(stack_t *s, half_open_t *h, const segment_t *seg) noexcept nogil
# Whether a SYN-ACK has the option, for a SYN that is answered without being kept: HAS_* bits, or 0.
cdef uint8_t fast_open_grants(stack_t *s, const group_row_t *g, const segment_t *seg) noexcept nogil
# Lets go of the data of an entry's SYN: its handshake will be an ordinary one, or none.
cdef void fast_open_forget(stack_t *s, half_open_t *h) noexcept nogil
# An accepted entry goes over to another group.
cdef void fast_open_move(stack_t *s, half_open_t *h, uint32_t group_row) noexcept nogil
# The record of an accepted entry, which has taken its place in the index, is a connection in SYN-RECEIVED
# with the data of its SYN; the entry is free to go.
cdef void fast_open_begin(stack_t *s, const half_open_t *h, uint32_t slot, uint32_t tag) noexcept nogil
# The peer has refused our SYN-ACK: RFC 7413 section 5.1 counts the request on for a while.
cdef void fast_open_refused(conn_t *c) noexcept nogil
