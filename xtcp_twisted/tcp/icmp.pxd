"""ICMP: echo answered, errors judged and handed to their connection, errors sent (RFC 1122 section 3.2.2)."""

from xtcp_twisted.tcp.layout cimport stack_t
from xtcp_twisted.tcp.output cimport out_t
from xtcp_twisted.wire.segment cimport segment_t


# A message to one of our addresses from another host; `ip` as parse_ip left it.
cdef void icmp_arrives(stack_t *s, const segment_t *ip) noexcept nogil
# Tells the sender why its packet was refused, where that is due; `ip` as parse_ip left it.
cdef void icmp_refuse(stack_t *s, const segment_t *ip, int reason) noexcept nogil
# Queued messages; False when the frames are full.
cdef bint icmp_output(stack_t *s, out_t *out) noexcept nogil
