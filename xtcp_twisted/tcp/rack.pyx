"""RACK (RFC 8985 section 6): a segment is lost when one sent sufficiently later was delivered.

"Sufficiently" is the reordering window: nothing while the path is not known to
reorder and loss is likely, else a quarter of the least round trip, more when
the peer reports that retransmissions were needless.
"""

from libc.stdint cimport int32_t, uint32_t

from xtcp_twisted import config
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.congestion cimport segment_size
from xtcp_twisted.tcp.counters cimport C_SACK_REORDER
from xtcp_twisted.tcp.disorder cimport (
    DUP_THRESH,
    PHASE_OPEN,
    RECOVERY_DSACK_ROUND,
    RECOVERY_RACK,
    RECOVERY_REORDERED,
)
from xtcp_twisted.tcp.flags cimport (
    EXTENT_AGAIN,
    EXTENT_LOST,
    EXTENT_RESENT,
    EXTENT_SACKED,
    EXTENT_SENT,
    RECORD_TIMESTAMPS,
)
from xtcp_twisted.tcp.layout cimport extent_at
from xtcp_twisted.tcp.marks cimport mark_lost
from xtcp_twisted.wire.segment cimport HAS_TIMESTAMPS
from xtcp_twisted.wire.sequence cimport seq_ge, seq_gt, seq_lt

cdef uint32_t PERSIST = config.REORDERING_PERSIST
cdef uint32_t MAX_VISITS = config.MAX_SCOREBOARD_VISITS

cdef enum:
    MOST_STEPS = 255


cdef bint _sent_after(uint32_t t1, uint32_t end1, uint32_t t2, uint32_t end2) noexcept nogil:
    """RACK_sent_after."""
    return <int32_t>(t1 - t2) > 0 or (t1 == t2 and seq_gt(end1, end2))


cdef bint _ambiguous(
    const conn_t *c, const recovery_t *x, const segment_t *seg, const extent_t *extent, uint32_t rtt
) noexcept nogil:
    """Step 2: of a retransmitted segment it may be the first copy that was acknowledged."""
    cdef uint32_t sent_ts
    if c.r.flags & RECORD_TIMESTAMPS and seg.has & HAS_TIMESTAMPS:
        sent_ts = <uint32_t>((c.s.now_us - rtt) // 1000) + c.r.ts_offset
        if <int32_t>(seg.ts_ecr - sent_ts) < 0:
            return True
    return rtt < x.min_rtt


cdef void rack_delivered(
    conn_t *c, recovery_t *x, const segment_t *seg, const extent_t *extent
) noexcept nogil:
    cdef uint32_t end = extent.seq + extent.length, rtt = <uint32_t>c.s.now_us - extent.sent_at
    # Step 3: RACK_detect_reordering.
    if seq_gt(end, x.high):
        x.high = end
    elif seq_lt(end, x.high) and not extent.flags & EXTENT_RESENT and not x.flags & RECOVERY_REORDERED:
        x.flags |= RECOVERY_REORDERED
        c.s.counters[C_SACK_REORDER] += 1
    # Steps 1 and 2: RACK_update.
    if extent.flags & EXTENT_RESENT and _ambiguous(c, x, seg, extent, rtt):
        return
    if rtt == 0:
        # Less than the clock shows, not nothing: what leaves at this moment cannot be lost already.
        rtt = 1
    if x.min_rtt == 0 or rtt < x.min_rtt:
        x.min_rtt = rtt
    x.rack_rtt = rtt
    if not x.flags & RECOVERY_RACK or _sent_after(extent.sent_at, end, x.rack_sent_at, x.rack_end):
        x.flags |= RECOVERY_RACK
        x.rack_sent_at = extent.sent_at
        x.rack_end = end


cdef void rack_adapt(conn_t *c, recovery_t *x, const delivery_t *d) noexcept nogil:
    """Step 4: once per round trip, as long as retransmissions prove spurious."""
    if x.flags & RECOVERY_DSACK_ROUND and seq_ge(c.r.snd_una, x.dsack_round):
        x.flags &= ~RECOVERY_DSACK_ROUND
    if d.duplicate and not x.flags & RECOVERY_DSACK_ROUND:
        x.flags |= RECOVERY_DSACK_ROUND
        x.dsack_round = c.r.snd_nxt
        if x.reo_steps < MOST_STEPS:
            x.reo_steps += 1
        x.reo_persist = PERSIST


cdef void rack_recovered(recovery_t *x) noexcept nogil:
    if x.reo_persist:
        x.reo_persist -= 1
    if x.reo_persist == 0:
        x.reo_steps = 1


cdef uint32_t _reordering_window(const conn_t *c, const recovery_t *x) noexcept nogil:
    """Step 4: RACK_update_reo_wnd, in us."""
    cdef uint32_t window
    if not x.flags & RECOVERY_REORDERED:
        if x.phase != PHASE_OPEN or x.dupacks >= DUP_THRESH:
            return 0
        # RFC 6675 section 4, IsLost: more than (DupThresh - 1) * SMSS bytes.
        if x.sacked > (DUP_THRESH - 1) * segment_size(c.r):
            return 0
    window = x.reo_steps * (x.min_rtt // 4)
    return window if window < c.r.srtt else c.r.srtt


cdef uint32_t rack_detect_loss(conn_t *c, recovery_t *x) noexcept nogil:
    cdef uint32_t row = c.a.tx_head, window, visits = 0, latest = 0
    cdef const extent_t *extent
    cdef int32_t left
    if not x.flags & RECOVERY_RACK:
        return 0
    window = _reordering_window(c, x)
    while row != NONE and visits < MAX_VISITS:
        extent = extent_at(c.s, row)
        if not extent.flags & EXTENT_SENT:
            break
        visits += 1
        if not extent.flags & EXTENT_SACKED and (
            not extent.flags & EXTENT_LOST or extent.flags & EXTENT_AGAIN
        ) and _sent_after(x.rack_sent_at, x.rack_end, extent.sent_at, extent.seq + extent.length):
            left = <int32_t>(extent.sent_at + x.rack_rtt + window - <uint32_t>c.s.now_us)
            if left <= 0:
                mark_lost(c, x, row)
            elif <uint32_t>left > latest:
                latest = left
        row = extent.next
    return latest


cdef void rack_mark_losses_on_rto(conn_t *c, recovery_t *x) noexcept nogil:
    cdef uint32_t row = c.a.tx_head, window = _reordering_window(c, x)
    cdef uint32_t rtt = x.rack_rtt if x.flags & RECOVERY_RACK else c.r.srtt
    cdef const extent_t *extent
    while row != NONE:
        extent = extent_at(c.s, row)
        if not extent.flags & EXTENT_SENT:
            break
        if not extent.flags & EXTENT_SACKED:
            if row == c.a.tx_head or (
                <int32_t>(extent.sent_at + rtt + window - <uint32_t>c.s.now_us) <= 0
            ):
                mark_lost(c, x, row)
        row = extent.next
