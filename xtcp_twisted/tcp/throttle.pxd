"""What a discarding pool refuses, and the way back from pressure (architecture section 8; P27 to P30)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport stack_t
from xtcp_twisted.wire.segment cimport segment_t


# Whether the pressure keeps the payload of an acceptable segment out.
cdef bint throttle_refuses(const conn_t *c, const segment_t *seg) noexcept nogil
# Takes payload and FIN off the segment, as if they had been lost.
cdef void throttle_discard(conn_t *c, segment_t *seg) noexcept nogil
# Looks at throttled connections of pools whose pressure has fallen, at most `most`.
cdef void throttle_release(stack_t *s, uint32_t most) noexcept nogil
# Whether throttle_release has something to look at.
cdef bint throttle_due(const stack_t *s) noexcept nogil
