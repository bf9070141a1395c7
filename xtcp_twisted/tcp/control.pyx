"""Congestion control; see control.pxd."""

from libc.stdint cimport uint16_t, uint32_t

from xtcp_twisted import config
from xtcp_twisted.tcp.congestion cimport initial_window, retransmission_timeout, segment_size
from xtcp_twisted.tcp.cubic cimport cubic_acknowledged, cubic_reduced
from xtcp_twisted.tcp.disorder cimport (
    PHASE_LOSS,
    PHASE_OPEN,
    RECOVERY_ECN,
    RECOVERY_EPOCH,
    recovery_lease,
    recovery_of,
    recovery_t,
)
from xtcp_twisted.tcp.groups cimport GROUP_CUBIC
from xtcp_twisted.tcp.flags cimport ACTIVE_LIMITED, RECORD_CWR, RECORD_ECN
from xtcp_twisted.tcp.reno cimport reno_acknowledged, reno_reduced
from xtcp_twisted.wire.sequence cimport seq_lt

cdef uint32_t MOST_AT_ONCE = config.INITIAL_WINDOW_SEGMENTS

cdef enum:
    MOST = 0x3FFFFFFF          # bytes


cdef void control_acknowledged(conn_t *c, uint32_t acked) noexcept nogil:
    cdef recovery_t *x = recovery_of(c)
    cdef uint32_t step
    # RFC 7661 section 3: a window that the application does not use proves nothing.
    if not c.a.flags & ACTIVE_LIMITED:
        return
    if c.r.cwnd < c.r.ssthresh:
        # RFC 3465 section 2.3: after a timeout L is one segment.  Else it is as many as may open a
        # connection: peers acknowledge what their hardware merges with one ACK (RFC 9406 section 4.2).
        step = segment_size(c.r) * (1 if x != NULL and x.phase == PHASE_LOSS else MOST_AT_ONCE)
        c.r.cwnd += acked if acked < step else step
    elif x != NULL and x.w_max and c.g.flags & GROUP_CUBIC:
        cubic_acknowledged(c, x, acked)
    else:
        reno_acknowledged(c, acked)
    if c.r.cwnd > MOST:
        c.r.cwnd = MOST


cdef void control_reduce(conn_t *c) noexcept nogil:
    cdef recovery_t *x = recovery_lease(c)
    # RFC 5681 section 3.2: what limited transmit sent does not count as flight.
    cdef uint32_t flight = c.r.snd_nxt - c.r.snd_una
    if flight > c.r.cwnd:
        flight = c.r.cwnd
    if x.phase == PHASE_OPEN:
        x.prior_cwnd = c.r.cwnd
        x.prior_ssthresh = c.r.ssthresh
    if x.flags & RECOVERY_ECN and seq_lt(c.r.snd_una, x.reduced):
        # RFC 3168 section 6.1.2: marks and losses of one window of data reduce it once.
        return
    if c.r.flags & RECORD_ECN:
        c.r.flags |= RECORD_CWR
    if c.g.flags & GROUP_CUBIC:
        c.r.ssthresh = cubic_reduced(c, x, flight)
    else:
        c.r.ssthresh = reno_reduced(c, flight)


cdef void control_restart(conn_t *c) noexcept nogil:
    """RFC 5681 section 4.1: no more than the initial window after a retransmission timeout of silence."""
    cdef recovery_t *x = recovery_of(c)
    cdef uint32_t most = initial_window(c.r), idle
    idle = 8 * <uint16_t>((c.s.now_ms >> 3) - c.r.last_sent)
    if c.r.last_sent and idle <= retransmission_timeout(c.r):
        return
    if x != NULL:
        # RFC 9438 section 4.2: the time that passed while nothing was sent is not the epoch's.
        x.flags &= ~RECOVERY_EPOCH
    if c.r.cwnd > most:
        c.r.cwnd = most
