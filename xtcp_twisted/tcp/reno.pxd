"""Reno: congestion avoidance by bytes (RFC 5681 section 3.1, RFC 3465)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t


# `acked` bytes were acknowledged in congestion avoidance.
cdef void reno_acknowledged(conn_t *c, uint32_t acked) noexcept nogil
# Segments were lost: returns the new ssthresh.
cdef uint32_t reno_reduced(const conn_t *c, uint32_t flight) noexcept nogil
