"""RACK: loss detection by time of sending (RFC 8985 section 6)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.disorder cimport delivery_t, recovery_t
from xtcp_twisted.tcp.layout cimport extent_t
from xtcp_twisted.wire.segment cimport segment_t


# An extent that the peer holds now, by ACK or SACK of `seg` (steps 1 to 3).
cdef void rack_delivered(
    conn_t *c, recovery_t *x, const segment_t *seg, const extent_t *extent
) noexcept nogil
# Adapts the reordering window to duplicates that the peer reported (step 4).
cdef void rack_adapt(conn_t *c, recovery_t *x, const delivery_t *d) noexcept nogil
# A recovery has ended (step 4: RACK.reo_wnd_persist).
cdef void rack_recovered(recovery_t *x) noexcept nogil
# Marks what is lost (step 5); returns in how many us more may be found lost, or 0.
cdef uint32_t rack_detect_loss(conn_t *c, recovery_t *x) noexcept nogil
# After a retransmission timeout (section 6.3): the first extent, and what was sent long enough ago.
cdef void rack_mark_losses_on_rto(conn_t *c, recovery_t *x) noexcept nogil
