"""Tail loss probes (RFC 8985 section 7)."""

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.disorder cimport delivery_t, recovery_t
from xtcp_twisted.wire.segment cimport segment_t


# New data has left, or was acknowledged: the probe timer takes the place of the retransmission timer.
cdef void tailprobe_schedule(conn_t *c) noexcept nogil
# The probe timer expired: the next output sends a probe, and the retransmission timer runs again.
cdef void tailprobe_fire(conn_t *c) noexcept nogil
# Judges an acknowledgement while a probe is out; true: the probe repaired a loss.
cdef bint tailprobe_repaired(
    conn_t *c, recovery_t *x, const segment_t *seg, const delivery_t *d
) noexcept nogil
