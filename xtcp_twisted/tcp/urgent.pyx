"""Urgent data; see urgent.pxd."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport EVENT_URGENT, conn_lease, conn_report, conn_update_ready
from xtcp_twisted.tcp.flags cimport ACTIVE_URGENT, RECORD_DETACHED, RECORD_EOF_TAKEN, RECORD_FIN_RECEIVED
from xtcp_twisted.wire.segment cimport URG
from xtcp_twisted.wire.sequence cimport seq_gt, seq_le


cdef void urgent_arrives(conn_t *c, const segment_t *seg) noexcept nogil:
    """Section 3.10.7.4, sixth step: RCV.UP <- max(RCV.UP, SEG.UP), and signal the user (MUST-31, -32).

    SEG.UP points behind the urgent data (MUST-62), which may not have come yet.
    After the peer's FIN it means nothing.
    """
    cdef uint32_t end = seg.seq + seg.urgent
    if not seg.flags & URG or c.r.flags & (RECORD_DETACHED | RECORD_FIN_RECEIVED):
        return
    if seq_le(end, c.a.read_nxt if c.a != NULL else c.r.rcv_ackd):
        return
    conn_lease(c)
    if c.a.flags & ACTIVE_URGENT and not seq_gt(end, c.a.rcv_up):
        return
    c.a.flags |= ACTIVE_URGENT
    c.a.rcv_up = end
    conn_report(c, EVENT_URGENT)
    # It is told at once, with all that the group holds back.
    conn_update_ready(c)


cdef void urgent_read(conn_t *c) noexcept nogil:
    if c.a.flags & ACTIVE_URGENT and (seq_le(c.a.rcv_up, c.a.read_nxt) or c.r.flags & RECORD_EOF_TAKEN):
        c.a.flags &= ~ACTIVE_URGENT


cdef uint32_t urgent_left(const conn_t *c) noexcept nogil:
    return c.a.rcv_up - c.a.read_nxt if c.a != NULL and c.a.flags & ACTIVE_URGENT else 0
