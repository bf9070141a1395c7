"""What two SYNs agree on: segment size, window scale, timestamps, SACK, ECN."""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.tcp.groups cimport group_row_t
from xtcp_twisted.tcp.layout cimport half_open_t, stack_t
from xtcp_twisted.wire.segment cimport segment_t


# HAS_* of what our own SYN offers.
cdef uint8_t syn_options_offer(const group_row_t *g) noexcept nogil
# The segment size that our SYN, or SYN-ACK, to `remote` announces.
cdef uint32_t own_mss(const stack_t *s, const group_row_t *g, const uint8_t *remote) noexcept nogil
# Keeps in an entry what a SYN brought and the group's options allow.
cdef void syn_options_agree(
    const stack_t *s, const group_row_t *g, half_open_t *h, const segment_t *seg
) noexcept nogil
# The segment size is no larger than the group allows that takes the connection, if it is another one.
cdef void syn_options_clamp(const stack_t *s, const group_row_t *g, half_open_t *h) noexcept nogil
