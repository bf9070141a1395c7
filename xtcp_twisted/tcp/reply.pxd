"""Packets that belong to no record: SYN-ACKs, resets, acknowledgements of TIME-WAIT."""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.tcp.groups cimport group_row_t
from xtcp_twisted.tcp.layout cimport record_t, stack_t
from xtcp_twisted.wire.segment cimport segment_t


# A cleared place in the queue, or NULL when it is full (counted).
cdef segment_t *reply_new(stack_t *s) noexcept nogil
# The oldest queued reply, taken out; NULL: none.
cdef segment_t *reply_pop(stack_t *s) noexcept nogil
# RFC 9293 section 3.10.7.1: the reset for a segment of no connection, rate-limited; NULL: none was sent.
cdef segment_t *reply_reset(stack_t *s, const segment_t *seg) noexcept nogil
# Gives a reply, if there is one, what the group has asked for: the DSCP and the TTL of all its segments.
cdef void reply_of_group(segment_t *reply, const group_row_t *g) noexcept nogil
# A reset of a connection of our own.
cdef void reply_abort(stack_t *s, const record_t *r, uint32_t seq, uint32_t ack) noexcept nogil
# A reply to `seg` with its addresses turned around.
cdef segment_t *reply_to(
    stack_t *s, const segment_t *seg, uint8_t flags, uint32_t seq, uint32_t ack
) noexcept nogil
# The bare acknowledgement of a connection whose record is about to go.
cdef void reply_acknowledgement(stack_t *s, const record_t *r) noexcept nogil
# A keepalive probe: a byte that the peer has long acknowledged (RFC 9293 section 3.8.4).
cdef void reply_probe(stack_t *s, const record_t *r) noexcept nogil
