"""Congestion control: slow start, and then what the connection's group prefers (RFC 5681, RFC 9438).

The one interface through which the mechanisms of loss recovery change the
congestion window in good times and learn the threshold in bad ones.
"""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t


# `acked` bytes, none of them known from SACK before, were acknowledged outside of fast recovery.
cdef void control_acknowledged(conn_t *c, uint32_t acked) noexcept nogil
# Congestion: leases the recovery row, remembers what an undo needs, and sets the new ssthresh.
cdef void control_reduce(conn_t *c) noexcept nogil
# Data is about to leave and nothing is in flight: the restart window after an idle time.
cdef void control_restart(conn_t *c) noexcept nogil
