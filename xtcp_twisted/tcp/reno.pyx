"""Reno; see reno.pxd."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.congestion cimport segment_size


cdef void reno_acknowledged(conn_t *c, uint32_t acked) noexcept nogil:
    """Equation (3), for all that one acknowledgement covers."""
    cdef uint32_t step = <uint32_t>(<unsigned long long>segment_size(c.r) * acked // c.r.cwnd)
    c.r.cwnd += step if step else 1


cdef uint32_t reno_reduced(const conn_t *c, uint32_t flight) noexcept nogil:
    """Equation (4): ssthresh = max(FlightSize / 2, 2 * SMSS)."""
    cdef uint32_t least = 2 * segment_size(c.r)
    return flight // 2 if flight // 2 > least else least
