from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport half_open_t, stack_t
from xtcp_twisted.wire.segment cimport segment_t


# Whose request an entry is, and of which group.
cdef void passive_identify(half_open_t *h, const segment_t *seg, uint32_t group_row) noexcept nogil
# Queues the SYN-ACK of an entry, from the local address given; NULL: there was no room for it.
cdef segment_t *passive_syn_ack(stack_t *s, const half_open_t *h, const uint8_t *local) noexcept nogil
# A record in SYN-RECEIVED, its peer, numbers and segment size as the entry has them; not counted and
# not in the index yet.  NONE when the table is full.
cdef uint32_t passive_record(stack_t *s, const half_open_t *h, uint32_t group_row) noexcept nogil
# The record is a connection from now on, in SYN-RECEIVED: what the SYNs agreed on is in its variables,
# `window` is what the peer takes, and SND.WL1 and SND.WL2 are the numbers of `seg`.
cdef void passive_begin(
    stack_t *s,
    uint32_t slot,
    const half_open_t *h,
    const segment_t *seg,
    uint32_t tag,
    uint32_t window,
    conn_t *c,
) noexcept nogil
# `seg` completes the handshake: the record is established and `c` is the connection.
cdef void passive_establish(
    stack_t *s, uint32_t slot, const half_open_t *h, const segment_t *seg, uint32_t tag, conn_t *c
) noexcept nogil
