"""The scoreboard: flags of the extents in flight, and the sums of their bytes.

An extent is marked when a block covers all of it (RFC 2018 section 5), never cut
by one: blocks that a stranger makes up cannot break the queue into pieces
(attacks: SACK panic, CVE-2019-11477 and 11479).  One acknowledgement visits at
most MAX_SCOREBOARD_VISITS extents (SACK slowness, CVE-2019-11478).
"""

from libc.stdint cimport uint32_t

from xtcp_twisted import config
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.congestion cimport segment_size
from xtcp_twisted.tcp.counters cimport C_DSACK_RECV, C_SACK_DISCARD
from xtcp_twisted.tcp.disorder cimport recovery_lease, recovery_of
from xtcp_twisted.tcp.flags cimport EXTENT_AGAIN, EXTENT_LOST, EXTENT_RESENT, EXTENT_SACKED, EXTENT_SENT
from xtcp_twisted.tcp.layout cimport extent_at, extent_t
from xtcp_twisted.tcp.marks cimport mark_lost, mark_sacked
from xtcp_twisted.tcp.rack cimport rack_delivered
from xtcp_twisted.tcp.undo cimport undo_duplicate
from xtcp_twisted.wire.sequence cimport seq_ge, seq_gt, seq_le, seq_lt, seq_max

cdef uint32_t MAX_VISITS = config.MAX_SCOREBOARD_VISITS

cdef struct blocks_t:
    uint32_t edge[8]
    uint32_t last              # the rightmost edge
    int count


cdef uint32_t scoreboard_pipe(const conn_t *c) noexcept nogil:
    cdef uint32_t flight = c.r.snd_nxt - c.r.snd_una, gone
    cdef const recovery_t *x = recovery_of(c)
    if x == NULL:
        return flight
    gone = x.sacked + x.lost
    return (flight - gone if flight > gone else 0) + x.again


cdef bint _is_duplicate(const conn_t *c, const segment_t *seg) noexcept nogil:
    """RFC 2883 section 4: the first block lies below the ACK number, or inside the second block."""
    cdef uint32_t left = seg.sack[0], right = seg.sack[1]
    if not seq_lt(left, right):
        return False
    if seq_le(right, seg.ack):
        return seq_ge(left, seg.ack - c.r.max_snd_wnd)
    return seg.sacks > 1 and seq_ge(left, seg.sack[2]) and seq_le(right, seg.sack[3])


cdef void _valid_blocks(conn_t *c, const segment_t *seg, int first, blocks_t *blocks) noexcept nogil:
    """Those that lie in the flight, behind the ACK number and, when that is an old one, SND.UNA."""
    cdef uint32_t left, right
    cdef int i
    blocks.count = 0
    blocks.last = c.r.snd_una
    for i in range(first, seg.sacks):
        left = seg.sack[2 * i]
        right = seg.sack[2 * i + 1]
        if not seq_lt(left, right) or seq_le(left, c.r.snd_una) or seq_gt(right, c.r.snd_nxt):
            c.s.counters[C_SACK_DISCARD] += 1
            continue
        blocks.edge[2 * blocks.count] = left
        blocks.edge[2 * blocks.count + 1] = right
        blocks.last = seq_max(blocks.last, right)
        blocks.count += 1


cdef bint _covered(const blocks_t *blocks, const extent_t *extent) noexcept nogil:
    cdef int i
    for i in range(blocks.count):
        if seq_ge(extent.seq, blocks.edge[2 * i]) and seq_le(
            extent.seq + extent.length, blocks.edge[2 * i + 1]
        ):
            return True
    return False


cdef void _mark_covered(
    conn_t *c, const segment_t *seg, const blocks_t *blocks, delivery_t *d
) noexcept nogil:
    cdef recovery_t *x = recovery_lease(c)
    cdef uint32_t row = c.a.tx_head, visits = 0
    cdef extent_t *extent
    while row != NONE and visits < MAX_VISITS:
        extent = extent_at(c.s, row)
        if seq_ge(extent.seq, blocks.last) or not extent.flags & EXTENT_SENT:
            break
        visits += 1
        if not extent.flags & EXTENT_SACKED and _covered(blocks, extent):
            rack_delivered(c, x, seg, extent)
            mark_sacked(x, extent)
            d.delivered += extent.length
            d.selective = True
            if not extent.flags & EXTENT_RESENT and seq_le(extent.seq + extent.length, x.recover):
                d.original = True
        row = extent.next


cdef void scoreboard_sack(conn_t *c, const segment_t *seg, delivery_t *d) noexcept nogil:
    cdef blocks_t blocks
    cdef recovery_t *x
    d.duplicate = _is_duplicate(c, seg)
    if d.duplicate:
        c.s.counters[C_DSACK_RECV] += 1
        x = recovery_of(c)
        if x != NULL:
            undo_duplicate(c, x, seg.sack[0], seg.sack[1])
    _valid_blocks(c, seg, d.duplicate, &blocks)
    if blocks.count:
        _mark_covered(c, seg, &blocks, d)


cdef uint32_t scoreboard_next(const conn_t *c, recovery_t *x) noexcept nogil:
    cdef uint32_t row = x.resend
    cdef const extent_t *extent
    while row != NONE:
        extent = extent_at(c.s, row)
        if not extent.flags & EXTENT_SENT:
            row = NONE
            break
        if extent.flags & EXTENT_LOST and not extent.flags & EXTENT_AGAIN:
            break
        row = extent.next
    x.resend = row
    return row


cdef uint32_t scoreboard_run(const conn_t *c, uint32_t row, uint32_t most) noexcept nogil:
    cdef uint32_t length = 0
    cdef const extent_t *extent
    while row != NONE and length < most:
        extent = extent_at(c.s, row)
        if not extent.flags & EXTENT_LOST or extent.flags & EXTENT_AGAIN:
            break
        length += extent.length
        row = extent.next
    return length if length < most else most


cdef uint32_t scoreboard_last(const conn_t *c) noexcept nogil:
    cdef uint32_t row = c.a.tx_head, last = NONE
    while row != NONE and extent_at(c.s, row).flags & EXTENT_SENT:
        last = row
        row = extent_at(c.s, row).next
    return last


cdef bint scoreboard_lose_first(conn_t *c, recovery_t *x) noexcept nogil:
    cdef uint32_t row = c.a.tx_head, length = 0, most = segment_size(c.r)
    cdef const extent_t *extent
    cdef bint fresh = False
    while row != NONE and length < most:
        extent = extent_at(c.s, row)
        length += extent.length
        if not extent.flags & EXTENT_SENT or length > most and length != extent.length:
            break
        if not extent.flags & EXTENT_LOST:
            mark_lost(c, x, row)
            fresh = True
        row = extent.next
    return fresh


cdef void scoreboard_lose_all(conn_t *c, recovery_t *x) noexcept nogil:
    cdef uint32_t row = c.a.tx_head
    while row != NONE and extent_at(c.s, row).flags & EXTENT_SENT:
        if not extent_at(c.s, row).flags & EXTENT_SACKED:
            mark_lost(c, x, row)
        row = extent_at(c.s, row).next


cdef void scoreboard_find(conn_t *c, recovery_t *x) noexcept nogil:
    cdef uint32_t row = c.a.tx_head
    cdef extent_t *extent
    while row != NONE and extent_at(c.s, row).flags & EXTENT_SENT:
        extent = extent_at(c.s, row)
        if extent.flags & EXTENT_LOST:
            extent.flags &= ~<uint32_t>EXTENT_LOST
            x.lost -= extent.length
        row = extent.next
    x.resend = NONE


cdef void scoreboard_renege(conn_t *c, recovery_t *x) noexcept nogil:
    cdef uint32_t row = c.a.tx_head
    while row != NONE and extent_at(c.s, row).flags & EXTENT_SENT:
        extent_at(c.s, row).flags &= ~<uint32_t>EXTENT_SACKED
        row = extent_at(c.s, row).next
    x.sacked = 0
