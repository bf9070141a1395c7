"""Undo; see undo.pxd.

Two witnesses tell that a retransmission was needless: the echoed timestamp of
the first acknowledgement after it is older than the retransmission (the Eifel
detection of RFC 3522), or the peer reports every byte that was sent again as a
duplicate (RFC 3708, over the D-SACK of RFC 2883).  The first also works for a
timeout whose acknowledgement is merely late.
"""

from libc.stdint cimport int32_t, uint32_t

from xtcp_twisted.tcp.congestion cimport initial_window
from xtcp_twisted.tcp.counters cimport C_DSACK_UNDO, C_FULL_UNDO, C_SPURIOUS_RTOS
from xtcp_twisted.tcp.disorder cimport (
    PHASE_LOSS,
    PHASE_OPEN,
    RECOVERY_ECN,
    RECOVERY_EIFEL,
    RECOVERY_EPOCH,
    RECOVERY_MARKED,
    RECOVERY_RESENT,
)
from xtcp_twisted.tcp.flags cimport RECORD_TIMESTAMPS
from xtcp_twisted.wire.segment cimport HAS_TIMESTAMPS
from xtcp_twisted.wire.sequence cimport seq_gt, seq_lt


cdef void undo_begin(const conn_t *c, recovery_t *x) noexcept nogil:
    x.flags &= ~(RECOVERY_RESENT | RECOVERY_EIFEL | RECOVERY_MARKED)
    x.undo_from = c.r.snd_una
    x.undo_bytes = 0


cdef void undo_resent(const conn_t *c, recovery_t *x, uint32_t length) noexcept nogil:
    if not x.flags & RECOVERY_RESENT:
        # RFC 3522 section 3.2, (1) and (2): RetransmitTS.
        x.flags |= RECOVERY_RESENT
        if c.r.flags & RECORD_TIMESTAMPS:
            x.flags |= RECOVERY_EIFEL
            x.resent_ts = c.s.now_ms + c.r.ts_offset
    x.undo_bytes += length


cdef void undo_duplicate(const conn_t *c, recovery_t *x, uint32_t start, uint32_t end) noexcept nogil:
    if not x.flags & RECOVERY_RESENT or seq_lt(start, x.undo_from) or seq_gt(end, x.recover):
        return
    x.undo_bytes -= end - start if end - start < x.undo_bytes else x.undo_bytes


cdef bint undo_spurious(conn_t *c, recovery_t *x, const segment_t *seg, const delivery_t *d) noexcept nogil:
    if x.flags & RECOVERY_EIFEL and d.acked:
        # RFC 3522 section 3.2, (4) to (6): only the first acceptable ACK tells.
        x.flags &= ~RECOVERY_EIFEL
        if seg.has & HAS_TIMESTAMPS and <int32_t>(seg.ts_ecr - x.resent_ts) < 0 and x.phase != PHASE_OPEN:
            c.s.counters[C_SPURIOUS_RTOS if x.phase == PHASE_LOSS else C_FULL_UNDO] += 1
            return True
    if x.flags & RECOVERY_RESENT and x.undo_bytes == 0 and d.duplicate:
        c.s.counters[C_DSACK_UNDO] += 1
        return True
    return False


cdef void undo_restore(conn_t *c, recovery_t *x, uint32_t acked) noexcept nogil:
    """RFC 4015 section 3.2, (5) to (7): slow start resumes where the window was, without a burst."""
    cdef uint32_t most = initial_window(c.r), cwnd = c.r.snd_nxt - c.r.snd_una
    x.flags &= ~(RECOVERY_RESENT | RECOVERY_EIFEL)
    if x.flags & RECOVERY_MARKED:
        # (7) with ECE: the window stays; as for any mark, once in a window of data (RFC 3168 section 6.1.2).
        x.flags |= RECOVERY_ECN
        x.reduced = c.r.snd_nxt
        return
    cwnd += acked if acked < most else most
    if cwnd > x.prior_cwnd:
        cwnd = x.prior_cwnd
    if c.r.cwnd < cwnd:
        c.r.cwnd = cwnd
    c.r.ssthresh = x.prior_ssthresh if x.prior_ssthresh > x.prior_cwnd else x.prior_cwnd
    x.flags &= ~RECOVERY_EPOCH
