"""Undoing a recovery that proves needless (RFC 3522, RFC 4015, RFC 3708)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.disorder cimport delivery_t, recovery_t
from xtcp_twisted.wire.segment cimport segment_t


# A recovery begins: what is sent again from now on is watched.
cdef void undo_begin(const conn_t *c, recovery_t *x) noexcept nogil
# `length` bytes are sent again.
cdef void undo_resent(const conn_t *c, recovery_t *x, uint32_t length) noexcept nogil
# The peer reports that it received these bytes twice.
cdef void undo_duplicate(const conn_t *c, recovery_t *x, uint32_t start, uint32_t end) noexcept nogil
# Whether this acknowledgement shows that nothing had been lost.
cdef bint undo_spurious(conn_t *c, recovery_t *x, const segment_t *seg, const delivery_t *d) noexcept nogil
# Gives the congestion window back, unless the peer has told of congestion meanwhile.
cdef void undo_restore(conn_t *c, recovery_t *x, uint32_t acked) noexcept nogil
