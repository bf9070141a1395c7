"""CUBIC (RFC 9438), from the first loss of a transfer on."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.disorder cimport recovery_t


# `acked` bytes were acknowledged in congestion avoidance.
cdef void cubic_acknowledged(conn_t *c, recovery_t *x, uint32_t acked) noexcept nogil
# Segments were lost: returns the new ssthresh.
cdef uint32_t cubic_reduced(const conn_t *c, recovery_t *x, uint32_t flight) noexcept nogil
