"""What a discarding pool refuses, and the way back from pressure (architecture section 8; P27 to P30).

A discarding pool takes no more of connections that hold data of it: the peer
keeps what is discarded and sends it again.  Its acknowledgements are processed
before that, for they make room in the transmit buffer (variant 3).  One that
holds only data behind a gap may still fill the gap, else that data would stay
for ever.  The last sixteenth is for the others, in order.  A pool that throttles
by withholding alone (variant 1) discards nothing as long as it has room.

A connection that the pressure of its pool held back is in the pool's list.
Each fall of the pressure starts a walk over that list, a bounded part in each
flush: who may go on is sent its window update or acknowledgement at once, so that
nobody waits for a timer of the peer; who is held back still goes to the list's end.
"""

from libc.stdint cimport uint32_t

from xtcp_twisted.memory.slab cimport NONE, slab_free_rows
from xtcp_twisted.tcp.acknowledge cimport window_frozen, window_update
from xtcp_twisted.tcp.connection cimport (
    conn_ack_now,
    conn_discarded,
    conn_holds,
    conn_load,
    conn_settle,
    conn_t,
    conn_throttle,
    conn_unthrottle,
    conn_withheld,
    group_throttled,
)
from xtcp_twisted.tcp.groups cimport T_DROP_BYTES, T_DROP_SEGS, VARIANT_DISCARD, pool_row_t
from xtcp_twisted.tcp.flags cimport ACTIVE_ACK_HELD, ACTIVE_DISCARDED, RECORD_ENDED
from xtcp_twisted.tcp.layout cimport active_at
from xtcp_twisted.tcp.pressure cimport PRESSURE_DISCARDING, PRESSURE_WITHHOLDING
from xtcp_twisted.wire.segment cimport FIN
from xtcp_twisted.wire.sequence cimport seq_le

cdef enum:
    LAST_SHARE = 16            # of the buffer: only data in order of those who hold nothing


cdef bint throttle_refuses(const conn_t *c, const segment_t *seg) noexcept nogil:
    cdef bint in_order = seq_le(seg.seq, c.r.rcv_nxt), holds = False
    if c.p.pressure.state < PRESSURE_WITHHOLDING or not c.p.variants & VARIANT_DISCARD:
        return False
    if c.a != NULL:
        holds = c.a.rx_head != NONE if in_order else c.a.rx_chunks != 0
    if holds and conn_discarded(c):
        return True
    if c.p.pressure.state < PRESSURE_DISCARDING:
        return False
    return slab_free_rows(&c.p.chunks) <= c.p.chunks.capacity // LAST_SHARE and (holds or not in_order)


cdef void throttle_discard(conn_t *c, segment_t *seg) noexcept nogil:
    group_throttled(c.s, c.g, T_DROP_SEGS, 1)
    group_throttled(c.s, c.g, T_DROP_BYTES, seg.length)
    seg.length = 0
    seg.flags &= ~FIN
    if conn_holds(c):
        c.a.flags |= ACTIVE_DISCARDED
        conn_throttle(c)


cdef void _visit(conn_t *c) noexcept nogil:
    conn_unthrottle(c)
    if not c.r.flags & RECORD_ENDED:
        if c.a.flags & ACTIVE_ACK_HELD and not conn_withheld(c):
            conn_ack_now(c)
        if c.a.flags & ACTIVE_DISCARDED and not conn_discarded(c):
            c.a.flags &= ~ACTIVE_DISCARDED
            conn_ack_now(c)
        if not window_update(c) and window_frozen(c):
            conn_throttle(c)
    conn_settle(c)


cdef void throttle_release(stack_t *s, uint32_t most) noexcept nogil:
    cdef uint32_t row
    cdef pool_row_t *p
    cdef conn_t c
    if not s.throttled:
        return
    for row in range(s.pool_count):
        p = &s.pools[row]
        if p.falls_seen != p.pressure.falls:
            p.falls_seen = p.pressure.falls
            p.to_visit = p.throttled.count
        while most and p.to_visit and p.throttled.count:
            most -= 1
            p.to_visit -= 1
            conn_load(&c, s, active_at(s, p.throttled.head).slot)
            _visit(&c)


cdef bint throttle_due(const stack_t *s) noexcept nogil:
    cdef uint32_t row
    cdef const pool_row_t *p
    if not s.throttled:
        return False
    for row in range(s.pool_count):
        p = &s.pools[row]
        if p.throttled.count and (p.to_visit or p.falls_seen != p.pressure.falls):
            return True
    return False
