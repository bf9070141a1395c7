"""The marks of one extent in the scoreboard, and the sums of bytes that go with them."""

from libc.stdint cimport uint32_t

from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.disorder cimport recovery_t
from xtcp_twisted.tcp.flags cimport EXTENT_AGAIN, EXTENT_LOST, EXTENT_SACKED
from xtcp_twisted.tcp.layout cimport extent_at, extent_t
from xtcp_twisted.wire.sequence cimport seq_lt


cdef inline void mark_lost(conn_t *c, recovery_t *x, uint32_t row) noexcept nogil:
    """It is to be sent, or sent again; not for what the peer holds."""
    cdef extent_t *extent = extent_at(c.s, row)
    if extent.flags & EXTENT_AGAIN:
        extent.flags &= ~<uint32_t>EXTENT_AGAIN
        x.again -= extent.length
    if not extent.flags & EXTENT_LOST:
        extent.flags |= EXTENT_LOST
        x.lost += extent.length
    if x.resend == NONE or seq_lt(extent.seq, extent_at(c.s, x.resend).seq):
        x.resend = row


cdef inline void mark_sacked(recovery_t *x, extent_t *extent) noexcept nogil:
    if extent.flags & EXTENT_LOST:
        x.lost -= extent.length
    if extent.flags & EXTENT_AGAIN:
        x.again -= extent.length
    extent.flags &= ~<uint32_t>(EXTENT_LOST | EXTENT_AGAIN)
    extent.flags |= EXTENT_SACKED
    x.sacked += extent.length
