"""Nagle's algorithm and the sender's silly window avoidance; see nagle.pxd."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_queue_output, conn_settle
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_ACK_HELD,
    ACTIVE_ACK_NOW,
    RECORD_FIN_QUEUED,
    RECORD_LAST_SHORT,
    RECORD_NAGLE,
)


cdef bint window_is_silly(const conn_t *c, uint32_t length, uint32_t queued) noexcept nogil:
    return length < queued and length < c.r.max_snd_wnd // 2


cdef bint nagle_waits(const conn_t *c) noexcept nogil:
    if not c.r.flags & RECORD_NAGLE or c.r.snd_una == c.r.snd_nxt:
        return False
    # Minshall: the segment before ends at SND.NXT, so it is not acknowledged.
    if not c.r.flags & RECORD_LAST_SHORT or c.r.flags & RECORD_FIN_QUEUED:
        return False
    return not c.a.flags & (ACTIVE_ACK_NOW | ACTIVE_ACK_HELD) and c.r.resends == 0


cdef void nagle_sent(conn_t *c, bint full) noexcept nogil:
    if full:
        c.r.flags &= ~<uint32_t>RECORD_LAST_SHORT
    else:
        c.r.flags |= RECORD_LAST_SHORT


cdef void nagle_set(conn_t *c, bint on) noexcept nogil:
    if on:
        c.r.flags |= RECORD_NAGLE
        return
    c.r.flags &= ~<uint32_t>RECORD_NAGLE
    if c.r.snd_nxt != c.r.snd_lbb:
        conn_queue_output(c)
    conn_settle(c)
