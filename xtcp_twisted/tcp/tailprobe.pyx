"""Tail loss probes; see tailprobe.pxd.

When the last segments of a flight are lost nothing comes behind them that would
tell.  After two round trips a probe, new data or the last segment once more,
makes the peer speak, and its SACK starts fast recovery instead of a timeout.
"""

from libc.stdint cimport uint32_t

from xtcp_twisted import config
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.congestion cimport retransmission_timeout, segment_size
from xtcp_twisted.tcp.connection cimport conn_queue_output
from xtcp_twisted.tcp.counters cimport C_LOSS_PROBE_RECOVERY, C_LOSS_PROBES
from xtcp_twisted.tcp.disorder cimport (
    PHASE_OPEN,
    RECOVERY_TAIL_DUE,
    RECOVERY_TAIL_OUT,
    RECOVERY_TAIL_RESENT,
    recovery_lease,
    recovery_of,
)
from xtcp_twisted.tcp.flags cimport ACTIVE_REORDER, ACTIVE_TAIL, ACTIVE_TRANSMIT, RECORD_SACK
from xtcp_twisted.tcp.layout cimport earlier, extent_at
from xtcp_twisted.wire.segment cimport HAS_SACK
from xtcp_twisted.wire.sequence cimport seq_ge, seq_gt

cdef uint32_t ACK_DELAY_MS = config.TAIL_ACK_DELAY_MS
cdef uint32_t INITIAL_PROBE_MS = config.INITIAL_PROBE_MS
cdef uint32_t SLACK_MS = config.PROBE_SLACK_MS


cdef bint _may_probe(const conn_t *c) noexcept nogil:
    """Section 7.2: SACK, no recovery, nothing reported missing, and one probe at a time."""
    cdef recovery_t *x = recovery_of(c)
    if not c.r.flags & RECORD_SACK or c.r.snd_una == c.r.snd_nxt or c.a.backoff or c.r.snd_wnd == 0:
        return False
    if x == NULL:
        return True
    return x.phase == PHASE_OPEN and not x.sacked and not x.lost and not x.flags & RECOVERY_TAIL_OUT


cdef uint32_t _probe_timeout(const conn_t *c) noexcept nogil:
    """TLP_calc_PTO, in ms: two round trips, and the time that a lone segment's ACK may be held."""
    cdef uint32_t pto
    if c.r.srtt == 0:
        return INITIAL_PROBE_MS
    pto = (2 * c.r.srtt + 999) // 1000 + SLACK_MS
    if c.r.snd_nxt - c.r.snd_una <= segment_size(c.r):
        pto += ACK_DELAY_MS
    return pto


cdef uint32_t _timeout_at(const conn_t *c) noexcept nogil:
    """When the retransmission timer of the oldest segment would expire, ms."""
    cdef uint32_t age = 0
    if c.a.tx_head != NONE:
        age = (<uint32_t>c.s.now_us - extent_at(c.s, c.a.tx_head).sent_at) // 1000
    return c.s.now_ms - age + retransmission_timeout(c.r)


cdef void tailprobe_schedule(conn_t *c) noexcept nogil:
    cdef uint32_t at, limit
    if not _may_probe(c):
        return
    at = c.s.now_ms + _probe_timeout(c)
    limit = _timeout_at(c)
    if earlier(limit, at):
        at = c.s.now_ms if earlier(limit, c.s.now_ms) else limit
    c.a.flags &= ~ACTIVE_REORDER
    c.a.flags |= ACTIVE_TRANSMIT | ACTIVE_TAIL
    c.a.transmit_at = at


cdef void tailprobe_fire(conn_t *c) noexcept nogil:
    c.a.flags &= ~ACTIVE_TAIL
    c.a.transmit_at = c.s.now_ms + retransmission_timeout(c.r)
    c.s.counters[C_LOSS_PROBES] += 1
    recovery_lease(c).flags |= RECOVERY_TAIL_DUE
    conn_queue_output(c)


cdef bint tailprobe_repaired(
    conn_t *c, recovery_t *x, const segment_t *seg, const delivery_t *d
) noexcept nogil:
    """Section 7.4.2: TLP_process_ack."""
    if not x.flags & RECOVERY_TAIL_OUT or not seq_ge(seg.ack, x.tail_end):
        return False
    if not x.flags & RECOVERY_TAIL_RESENT:
        # The probe was new data; it and all before it arrived.
        x.flags &= ~RECOVERY_TAIL_OUT
        return False
    if d.duplicate:
        # Both copies arrived.
        x.flags &= ~RECOVERY_TAIL_OUT
        return False
    if seq_gt(seg.ack, x.tail_end):
        # Later data is acknowledged and no duplicate was reported: the original was lost.
        x.flags &= ~RECOVERY_TAIL_OUT
        c.s.counters[C_LOSS_PROBE_RECOVERY] += 1
        return True
    if not d.acked and not seg.has & HAS_SACK and seg.length == 0:
        x.flags &= ~RECOVERY_TAIL_OUT
    return False
