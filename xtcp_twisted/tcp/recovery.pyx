"""Loss recovery; see recovery.pxd.

One quantity decides what may be sent: `pipe`, the bytes believed to be in the
network (RFC 6675 section 4), must stay below cwnd.  Without SACK each duplicate
acknowledgement stands for one segment that has left the network, which is what
RFC 6582 expresses by inflating cwnd; such credit is bounded by the flight, so
that invented duplicates buy nothing (RFC 5681 section 3.2, ACK splitting).
Limited transmit (RFC 3042) needs no code of its own: the first two duplicates
already make room for a segment each.
"""

from libc.stdint cimport uint8_t, uint32_t

from xtcp_twisted import config
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.congestion cimport retransmission_timeout, segment_size
from xtcp_twisted.tcp.connection cimport conn_queue_output, conn_soft_error
from xtcp_twisted.tcp.control cimport control_acknowledged, control_reduce
from xtcp_twisted.tcp.counters cimport C_RENO_RECOVERY, C_SACK_RECOVERY, C_SACK_RENEGING
from xtcp_twisted.tcp.disorder cimport (
    DUP_THRESH,
    PHASE_LOSS,
    PHASE_OPEN,
    PHASE_RECOVERY,
    RECOVERY_ECN,
    RECOVERY_FIN_LOST,
    RECOVERY_FRTO,
    RECOVERY_FRTO_NEW,
    RECOVERY_TAIL_DUE,
    RECOVERY_TAIL_OUT,
    recovery_lease,
    recovery_of,
    recovery_t,
)
from xtcp_twisted.tcp.frto cimport frto_begin, frto_spurious
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_LIMITED,
    ACTIVE_REORDER,
    ACTIVE_SYN,
    ACTIVE_TAIL,
    ACTIVE_TRANSMIT,
    EXTENT_SACKED,
    RECORD_FIN_SENT,
    RECORD_SACK,
)
from xtcp_twisted.tcp.layout cimport extent_at
from xtcp_twisted.tcp.rack cimport (
    rack_adapt,
    rack_detect_loss,
    rack_mark_losses_on_rto,
    rack_recovered,
)
from xtcp_twisted.tcp.scoreboard cimport (
    scoreboard_find,
    scoreboard_lose_all,
    scoreboard_lose_first,
    scoreboard_pipe,
    scoreboard_renege,
)
from xtcp_twisted.tcp.tailprobe cimport tailprobe_repaired, tailprobe_schedule
from xtcp_twisted.tcp.undo cimport undo_begin, undo_resent, undo_restore, undo_spurious
from xtcp_twisted.wire.sequence cimport seq_ge, seq_gt, seq_lt

cdef uint32_t MAX_RTO_MS = config.MAX_RTO_MS
cdef int R1_RETRANSMISSIONS = config.R1_RETRANSMISSIONS

cdef enum:
    MAX_BACKOFF = 16
    ETIMEDOUT = 110


cdef void _enter(conn_t *c, recovery_t *x) noexcept nogil:
    """RFC 6675 section 5, (4); RFC 6582 section 3.2, step 2."""
    c.s.counters[C_SACK_RECOVERY if c.r.flags & RECORD_SACK else C_RENO_RECOVERY] += 1
    undo_begin(c, x)
    control_reduce(c)
    x.phase = PHASE_RECOVERY
    x.recover = c.r.snd_nxt
    # RFC 6937 section 3: RecoverFS = snd.nxt - snd.una.
    x.prr_flight = c.r.snd_nxt - c.r.snd_una
    x.prr_delivered = x.prr_out = 0


cdef void _leave(conn_t *c, recovery_t *x) noexcept nogil:
    """Everything up to the recovery point is acknowledged."""
    cdef uint32_t mss = segment_size(c.r), flight = c.r.snd_nxt - c.r.snd_una, most
    if x.phase == PHASE_RECOVERY:
        c.r.cwnd = c.r.ssthresh
        if not c.r.flags & RECORD_SACK:
            # RFC 6582 section 3.2, step 3, full acknowledgements, (1).
            most = (flight if flight > mss else mss) + mss
            c.r.cwnd = most if most < c.r.ssthresh else c.r.ssthresh
    rack_recovered(x)
    x.flags &= ~(RECOVERY_FRTO | RECOVERY_FRTO_NEW)
    x.phase = PHASE_OPEN
    x.dupacks = 0
    if not c.r.flags & RECORD_SACK:
        x.sacked = 0


cdef void _reduce_rate(conn_t *c, recovery_t *x, uint32_t delivered, bint safe) noexcept nogil:
    """RFC 6937 section 3: on average ssthresh / RecoverFS of what is delivered is sent."""
    cdef uint32_t pipe = scoreboard_pipe(c), mss = segment_size(c.r), due, count, room
    x.prr_delivered += delivered
    if pipe > c.r.ssthresh:
        due = <uint32_t>(
            (<unsigned long long>x.prr_delivered * c.r.ssthresh + x.prr_flight - 1) // x.prr_flight
        )
        count = due - x.prr_out if due > x.prr_out else 0
    else:
        # The slow start reduction bound; only what certainly moves on lets the window grow.
        count = x.prr_delivered - x.prr_out if x.prr_delivered > x.prr_out else 0
        if safe:
            count = (count if count > delivered else delivered) + mss
        elif count < delivered:
            count = delivered
        room = c.r.ssthresh - pipe
        count = count if count < room else room
    if x.prr_out == 0 and count < mss:
        # The first retransmission leaves whatever the rate.
        count = mss
    c.r.cwnd = pipe + count


cdef void _assume_delivered(conn_t *c, recovery_t *x, delivery_t *d) noexcept nogil:
    """RFC 5681 section 3.2 without SACK: a duplicate acknowledgement means that a segment has left."""
    cdef uint32_t mss = segment_size(c.r), flight = c.r.snd_nxt - c.r.snd_una
    if x.phase == PHASE_RECOVERY:
        # No more of them than there were segments in flight when the loss was found.
        flight = x.recover - c.r.snd_una
    if x.dupacks < 255:
        x.dupacks += 1
    if x.phase == PHASE_LOSS:
        # After a timeout what is left of the flight says nothing; only the new data of F-RTO's step 2b does.
        if x.sacked + mss > c.r.snd_nxt - x.recover:
            return
    elif x.sacked + 2 * mss > flight:
        return
    x.sacked += mss
    d.delivered = mss


cdef void _take_back(conn_t *c, recovery_t *x, delivery_t *d) noexcept nogil:
    """RFC 6582 section 3.2, step 3, partial acknowledgements: deflate by all but a segment of it."""
    cdef uint32_t mss = segment_size(c.r), less = d.acked - mss if d.acked > mss else 0
    if x.phase == PHASE_OPEN:
        x.sacked = x.dupacks = 0
        # RFC 6582 section 4: duplicates below the recovery point start nothing.
        if seq_lt(x.recover, c.r.snd_una - 1):
            x.recover = c.r.snd_una - 1
        return
    less = less if less < x.sacked else x.sacked
    x.sacked -= less
    d.delivered = d.acked - less


cdef bint _mark_losses(conn_t *c, recovery_t *x, const delivery_t *d, uint32_t *later_us) noexcept nogil:
    """True when something is found lost; *later_us: when the reordering window of more is over, or 0."""
    cdef uint32_t lost = x.lost, again = x.again
    later_us[0] = 0
    if c.r.flags & RECORD_SACK:
        if x.sacked or x.phase != PHASE_OPEN or x.flags & RECOVERY_TAIL_OUT:
            later_us[0] = rack_detect_loss(c, x)
    elif x.phase == PHASE_OPEN:
        if x.dupacks >= DUP_THRESH and seq_gt(c.r.snd_una, x.recover):
            scoreboard_lose_first(c, x)
    elif x.phase == PHASE_RECOVERY and d.acked:
        scoreboard_lose_first(c, x)
    return x.lost > lost or x.again < again


cdef void _rearm(conn_t *c, bint news, uint32_t later_us) noexcept nogil:
    """RFC 6298 (5.2) and (5.3); RFC 8985 sections 6.3 and 7.2: one timer, for what comes first.

    Without news, new data acknowledged or a loss found, a running timer goes on; with nothing in
    flight it may be the persist timer.
    """
    if c.r.snd_una == c.r.snd_nxt:
        if news or c.a.flags & (ACTIVE_REORDER | ACTIVE_TAIL):
            c.a.flags &= ~(ACTIVE_TRANSMIT | ACTIVE_REORDER | ACTIVE_TAIL)
        return
    if later_us:
        c.a.flags &= ~ACTIVE_TAIL
        c.a.flags |= ACTIVE_TRANSMIT | ACTIVE_REORDER
        c.a.transmit_at = c.s.now_ms + <uint32_t>((c.s.now_us % 1000 + later_us + 999) // 1000)
        return
    if news or c.a.flags & ACTIVE_REORDER:
        c.a.flags &= ~(ACTIVE_REORDER | ACTIVE_TAIL)
        c.a.flags |= ACTIVE_TRANSMIT
        c.a.transmit_at = c.s.now_ms + retransmission_timeout(c.r)
        tailprobe_schedule(c)


cdef void _judge(conn_t *c, recovery_t *x, const segment_t *seg, delivery_t *d) noexcept nogil:
    """What the acknowledgement says of the recovery that is going on."""
    if tailprobe_repaired(c, x, seg, d):
        # RFC 8985 section 7.4.2: a loss that needs no more repair still asks for less.
        control_reduce(c)
        c.r.cwnd = c.r.ssthresh
    if undo_spurious(c, x, seg, d) or frto_spurious(c, x, d):
        undo_restore(c, x, d.acked)
        scoreboard_find(c, x)
        x.phase = PHASE_OPEN
        x.dupacks = 0
        x.flags &= ~(RECOVERY_FIN_LOST | RECOVERY_FRTO | RECOVERY_FRTO_NEW)
        if not c.r.flags & RECORD_SACK:
            x.sacked = 0
    elif x.phase != PHASE_OPEN and seq_ge(c.r.snd_una, x.recover):
        _leave(c, x)
    if x.flags & RECOVERY_ECN and seq_gt(c.r.snd_una, x.reduced):
        x.flags &= ~RECOVERY_ECN
    rack_adapt(c, x, d)


cdef void recovery_acknowledged(conn_t *c, const segment_t *seg, delivery_t *d) noexcept nogil:
    cdef recovery_t *x = recovery_of(c)
    cdef uint32_t later_us = 0
    cdef uint8_t before
    cdef bint found
    if d.repeated:
        x = recovery_lease(c)
        _assume_delivered(c, x, d)
    if x == NULL:
        if d.acked and not d.congested:
            control_acknowledged(c, d.delivered)
        _rearm(c, d.acked != 0, 0)
        return
    if d.acked and not c.r.flags & RECORD_SACK:
        _take_back(c, x, d)
    elif d.acked and x.phase == PHASE_OPEN:
        x.dupacks = 0
    if d.selective and x.dupacks < 255:
        x.dupacks += 1
    before = x.phase
    _judge(c, x, seg, d)
    found = _mark_losses(c, x, d, &later_us)
    if found and x.phase == PHASE_OPEN:
        _enter(c, x)
    if x.phase == PHASE_RECOVERY:
        _reduce_rate(c, x, d.delivered, d.acked and not found)
    elif d.acked and before != PHASE_RECOVERY and not d.congested:
        control_acknowledged(c, d.delivered)
    _rearm(c, d.acked or found, later_us)
    conn_queue_output(c)


cdef void recovery_timeout(conn_t *c) noexcept nogil:
    cdef recovery_t *x = recovery_lease(c)
    if c.a.tx_head != NONE and extent_at(c.s, c.a.tx_head).flags & EXTENT_SACKED:
        c.s.counters[C_SACK_RENEGING] += 1
        scoreboard_renege(c, x)
    if x.phase == PHASE_OPEN:
        undo_begin(c, x)
    frto_begin(c, x)
    if c.a.backoff == 0:
        # RFC 5681 section 3.1: ssthresh is held constant when the same segment times out again.
        control_reduce(c)
    x.phase = PHASE_LOSS
    x.recover = c.r.snd_nxt
    x.dupacks = 0
    x.flags &= ~(RECOVERY_TAIL_DUE | RECOVERY_TAIL_OUT)
    if c.r.flags & RECORD_FIN_SENT:
        x.flags |= RECOVERY_FIN_LOST
    if c.r.flags & RECORD_SACK:
        rack_mark_losses_on_rto(c, x)
    else:
        x.sacked = 0
        scoreboard_lose_all(c, x)
    # One segment, beside what was sent too lately to be called lost; with it, the window is in use.
    c.r.cwnd = scoreboard_pipe(c) + segment_size(c.r)
    c.a.flags |= ACTIVE_LIMITED


cdef void recovery_back_off(conn_t *c) noexcept nogil:
    cdef unsigned long long rto
    if c.r.resends < 255:
        c.r.resends += 1
    if c.a.backoff < MAX_BACKOFF:
        c.a.backoff += 1
    rto = <unsigned long long>retransmission_timeout(c.r) << c.a.backoff
    c.a.transmit_at = c.s.now_ms + <uint32_t>(rto if rto < MAX_RTO_MS else MAX_RTO_MS)
    if c.r.resends == R1_RETRANSMISSIONS and not c.a.flags & ACTIVE_SYN:
        # RFC 9293 section 3.8.3, R1: the application is told (SHLD-9); there is but one way to blame.
        conn_soft_error(c, ETIMEDOUT)


cdef void recovery_reordering_over(conn_t *c) noexcept nogil:
    cdef recovery_t *x = recovery_lease(c)
    cdef uint32_t later_us = rack_detect_loss(c, x)
    if x.lost and x.phase == PHASE_OPEN:
        _enter(c, x)
    if x.phase == PHASE_RECOVERY:
        _reduce_rate(c, x, 0, False)
    _rearm(c, True, later_us)
    conn_queue_output(c)


cdef void recovery_window_opened(conn_t *c) noexcept nogil:
    cdef recovery_t *x = recovery_lease(c)
    scoreboard_lose_all(c, x)
    x.flags &= ~(RECOVERY_FRTO | RECOVERY_FRTO_NEW)
    if c.r.flags & RECORD_FIN_SENT:
        x.flags |= RECOVERY_FIN_LOST


cdef void recovery_sent(conn_t *c, uint32_t length, bint again) noexcept nogil:
    cdef recovery_t *x = recovery_of(c)
    if x == NULL:
        return
    if x.phase == PHASE_RECOVERY:
        x.prr_out += length
    if again and x.phase != PHASE_OPEN:
        undo_resent(c, x, length)
