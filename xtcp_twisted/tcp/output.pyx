"""Building and sending segments.

Every segment is made anew from the connection's state at the moment it leaves:
acknowledgement, window and timestamps are those of now, for a retransmission
too.  What may leave is what lies in both windows:

         snd_una                             snd_nxt           snd_lbb
    --------+----------------------------------+-----------------+----
            | in flight, held or lost (flags)  |   never sent    |
            |<----------------- snd_wnd ------------------>|

and what of it is in the network must stay below cwnd.  First goes what is lost,
then what was never sent (RFC 6675 section 4, NextSeg).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from xtcp_twisted import config
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.acknowledge cimport ack_number, ack_sent, window_field
from xtcp_twisted.tcp.congestion cimport retransmission_timeout, segment_size
from xtcp_twisted.tcp.connect cimport connect_syn
from xtcp_twisted.tcp.connection cimport conn_arm, conn_settle, conn_unqueue_output
from xtcp_twisted.tcp.control cimport control_restart
from xtcp_twisted.tcp.counters cimport (
    C_DATA_SEGS_OUT,
    C_FAST_RETRANS,
    C_OUT_BYTES,
    C_OUT_SEGS,
    C_RETRANS_SEGS,
    C_SLOW_START_RETRANS,
    C_WINDOW_PROBES,
)
from xtcp_twisted.tcp.disorder cimport (
    PHASE_LOSS,
    RECOVERY_FIN_LOST,
    RECOVERY_TAIL_DUE,
    RECOVERY_TAIL_OUT,
    RECOVERY_TAIL_RESENT,
    recovery_of,
    recovery_t,
)
from xtcp_twisted.tcp.ecn cimport ecn_leaves
from xtcp_twisted.tcp.frto cimport frto_holds_back, frto_waits, frto_wants_new
from xtcp_twisted.tcp.groups cimport G_DATA_OUT, G_OUT_BYTES, G_OUT_SEGMENTS, G_RESENDS
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_ACK_NOW,
    ACTIVE_LIMITED,
    ACTIVE_PROBE,
    ACTIVE_SYN,
    ACTIVE_SYN_NOW,
    ACTIVE_TRANSMIT,
    EXTENT_FIN,
    RECORD_ECE,
    RECORD_ECN,
    RECORD_ENDED,
    RECORD_FAST_OPEN,
    RECORD_FIN_QUEUED,
    RECORD_FIN_SENT,
    RECORD_TIMESTAMPS,
)
from xtcp_twisted.tcp.layout cimport extent_at, local_at
from xtcp_twisted.tcp.nagle cimport nagle_sent, nagle_waits, window_is_silly
from xtcp_twisted.tcp.offload cimport offload_length, offload_segments, offload_write
from xtcp_twisted.tcp.recovery cimport recovery_sent
from xtcp_twisted.tcp.reply cimport reply_pop
from xtcp_twisted.tcp.sackblocks cimport sack_fill, sack_length
from xtcp_twisted.tcp.scoreboard cimport (
    scoreboard_last,
    scoreboard_next,
    scoreboard_pipe,
    scoreboard_run,
)
from xtcp_twisted.tcp.states cimport ESTABLISHED
from xtcp_twisted.tcp.tailprobe cimport tailprobe_schedule
from xtcp_twisted.tcp.transmit cimport transmit_copy, transmit_sent
from xtcp_twisted.wire.segment cimport ACK, ECE, FIN, HAS_TIMESTAMPS, PSH, segment_t
from xtcp_twisted.wire.sequence cimport seq_gt, seq_lt, seq_min
from xtcp_twisted.wire.tcp cimport headers_length, write_headers

cdef uint32_t OVERRIDE_MS = config.OVERRIDE_MS


cdef struct plan_t:
    uint32_t seq
    uint32_t length
    uint32_t row               # extent of the first byte
    uint32_t size              # payload of a full segment; with more than that, it is a super-segment
    uint32_t segments          # on the wire
    uint8_t flags
    bint fresh                 # data that never left, and no probe of a closed window


cdef uint32_t _text_size(const conn_t *c) noexcept nogil:
    """Payload of a full segment; SACK blocks that are due take their part of it (RFC 6691)."""
    return segment_size(c.r) - sack_length(c)


cdef uint32_t _window_left(const conn_t *c, uint32_t seq) noexcept nogil:
    """Bytes from `seq` on that the peer's window takes."""
    cdef uint32_t used = seq - c.r.snd_una
    return c.r.snd_wnd - used if c.r.snd_wnd > used else 0


cdef bint _plan_probe(conn_t *c, plan_t *plan) noexcept nogil:
    """One byte, or the FIN, into a closed window (RFC 9293 MUST-36); or what a small one takes."""
    if not c.a.flags & ACTIVE_PROBE:
        return False
    c.a.flags &= ~ACTIVE_PROBE
    plan.fresh = False
    plan.seq = c.r.snd_una
    plan.row = c.a.tx_head
    plan.length = 1 if seq_lt(plan.seq, c.r.snd_lbb) else 0
    plan.flags = 0
    if plan.length == 0:
        if not c.r.flags & RECORD_FIN_QUEUED:
            return False
        plan.flags = FIN
    if c.r.snd_wnd and plan.seq == c.r.snd_nxt:
        # Section 3.8.6.2.1 (4): the override timeout.
        plan.length = min(c.r.snd_lbb - plan.seq, min(c.r.snd_wnd, _text_size(c)))
        nagle_sent(c, False)
    else:
        c.s.counters[C_WINDOW_PROBES] += 1
    return True


cdef void _end_flags(conn_t *c, plan_t *plan) noexcept nogil:
    """PSH with the last byte queued (MUST-61), and the FIN when it is due and fits."""
    if plan.seq + plan.length != c.r.snd_lbb:
        return
    if plan.length:
        plan.flags = PSH
    if c.r.flags & RECORD_FIN_QUEUED and _window_left(c, plan.seq) > plan.length:
        plan.flags |= FIN


cdef bint _plan_lost(conn_t *c, plan_t *plan) noexcept nogil:
    """RFC 6675 section 4, NextSeg (1): what is lost goes first."""
    cdef recovery_t *x = recovery_of(c)
    cdef uint32_t pipe, left
    if x == NULL or not x.lost and not x.flags & RECOVERY_FIN_LOST or frto_holds_back(c, x):
        return False
    plan.flags = 0
    plan.fresh = False
    plan.length = 0
    plan.row = scoreboard_next(c, x)
    plan.seq = extent_at(c.s, plan.row).seq if plan.row != NONE else c.r.snd_lbb
    left = _window_left(c, plan.seq)
    pipe = scoreboard_pipe(c)
    if plan.row != NONE:
        plan.length = seq_min(
            plan.seq + scoreboard_run(c, plan.row, min(plan.size, left)), c.r.snd_nxt
        ) - plan.seq
        if plan.length == 0 or pipe and pipe + plan.length > c.r.cwnd:
            return False
    elif not x.flags & RECOVERY_FIN_LOST or left == 0:
        return False
    _end_flags(c, plan)
    if plan.flags & FIN:
        x.flags &= ~RECOVERY_FIN_LOST
    c.s.counters[C_SLOW_START_RETRANS if x.phase == PHASE_LOSS else C_FAST_RETRANS] += 1
    return True


cdef bint _plan_new(conn_t *c, plan_t *plan, bint probe) noexcept nogil:
    """RFC 6675 section 4, NextSeg (2): what was never sent; a loss probe asks no congestion window."""
    cdef uint32_t mss = plan.size, left = _window_left(c, c.r.snd_nxt), pipe, queued
    if c.r.flags & RECORD_FIN_SENT or left == 0:
        return False
    plan.seq = c.r.snd_nxt
    plan.row = c.a.tx_next
    plan.flags = 0
    plan.fresh = True
    queued = c.r.snd_lbb - plan.seq
    plan.length = min(queued, min(left, mss))
    if plan.length == 0 and not c.r.flags & RECORD_FIN_QUEUED:
        return False
    if plan.length < mss and (window_is_silly(c, plan.length, queued) or not probe and nagle_waits(c)):
        return False
    pipe = scoreboard_pipe(c)
    if pipe and pipe + plan.length > c.r.cwnd and not probe:
        c.a.flags |= ACTIVE_LIMITED
        return False
    if plan.length:
        nagle_sent(c, plan.length == mss)
    if plan.length == mss and not probe:
        # Whole segments only, so that what is short is judged by itself.
        plan.length = offload_length(c, mss, min(queued, left), c.r.cwnd - pipe if c.r.cwnd > pipe else 0)
    _end_flags(c, plan)
    return True


cdef bint _plan_tail(conn_t *c, plan_t *plan) noexcept nogil:
    """RFC 8985 section 7.3: new data as a loss probe, else the last segment again."""
    cdef recovery_t *x = recovery_of(c)
    if x == NULL or not x.flags & RECOVERY_TAIL_DUE:
        return False
    x.flags &= ~(RECOVERY_TAIL_DUE | RECOVERY_TAIL_RESENT)
    if c.r.snd_una == c.r.snd_nxt:
        return False
    if _plan_new(c, plan, True):
        x.flags |= RECOVERY_TAIL_OUT
        x.tail_end = plan.seq + plan.length + (plan.flags & FIN != 0)
        return True
    plan.row = scoreboard_last(c)
    if c.r.flags & RECORD_FIN_SENT and plan.row != NONE and not extent_at(c.s, plan.row).flags & EXTENT_FIN:
        # The FIN left alone: it is the last segment.
        plan.row = NONE
    plan.seq = extent_at(c.s, plan.row).seq if plan.row != NONE else c.r.snd_lbb
    plan.length = 0
    plan.flags = 0
    plan.fresh = False
    if plan.row != NONE:
        plan.length = min(seq_min(c.r.snd_nxt, c.r.snd_lbb) - plan.seq, plan.size)
    if _window_left(c, plan.seq) < max(plan.length, 1):
        # The peer has taken its window back since.
        return False
    x.flags |= RECOVERY_TAIL_OUT | RECOVERY_TAIL_RESENT
    x.tail_end = c.r.snd_nxt
    _end_flags(c, plan)
    return True


cdef void _fill_fields(
    conn_t *c, segment_t *fields, uint32_t seq, uint8_t flags, uint32_t length
) noexcept nogil:
    memcpy(fields.remote, c.r.remote, 16)
    memcpy(fields.local, local_at(c.s, c.r.local_row).address, 16)
    fields.remote_port = c.r.remote_port
    fields.local_port = c.r.local_port
    fields.seq = seq
    fields.ack = ack_number(c)
    fields.window = window_field(c, fields.ack)
    fields.flags = flags | ACK
    if c.r.flags & RECORD_ECE:
        fields.flags |= ECE
    fields.tos = c.g.tos
    fields.ttl = c.g.ttl
    fields.urgent = 0
    fields.length = length
    fields.has = 0
    if c.r.flags & RECORD_TIMESTAMPS:
        fields.has = HAS_TIMESTAMPS
        fields.ts_val = c.s.now_ms + c.r.ts_offset
        fields.ts_ecr = c.r.ts_recent
    sack_fill(c, fields)


cdef void _emit(conn_t *c, out_t *out, const plan_t *plan) noexcept nogil:
    cdef segment_t fields
    cdef frame_t *frame = &out.frames[out.count]
    cdef bint partial = c.s.limits.offload and plan.length
    _fill_fields(c, &fields, plan.seq, plan.flags, plan.length)
    if plan.fresh and plan.length and c.r.flags & RECORD_ECN:
        ecn_leaves(c, &fields)
    if plan.length:
        transmit_copy(c, plan.row, plan.seq, frame.data + headers_length(&fields), plan.length)
    if partial:
        offload_write(frame, &fields, plan.size)
    else:
        frame.length = write_headers(frame.data, &fields)
    out_add(out)
    c.s.counters[C_OUT_SEGS] += plan.segments
    c.g.counters[G_OUT_SEGMENTS] += plan.segments
    ack_sent(c, fields.ack, plan.length != 0 or plan.flags & FIN)


cdef void _count(conn_t *c, const plan_t *plan, bint again) noexcept nogil:
    if again:
        # TCP-MIB: tcpOutSegs does not count what carries only retransmitted bytes.
        c.s.counters[C_RETRANS_SEGS] += 1
        c.s.counters[C_OUT_SEGS] -= 1
        c.g.counters[G_RESENDS] += 1
    if plan.length:
        c.s.counters[C_DATA_SEGS_OUT] += plan.segments
        c.s.counters[C_OUT_BYTES] += plan.length
        c.g.counters[G_DATA_OUT] += plan.segments
        c.g.counters[G_OUT_BYTES] += plan.length


cdef void _account(conn_t *c, const plan_t *plan) noexcept nogil:
    """Sequence variables, marks and the retransmission timer after a segment left (RFC 6298 5.1)."""
    cdef uint32_t end = plan.seq + plan.length + (plan.flags & FIN != 0)
    cdef bint again = seq_lt(plan.seq, c.r.snd_nxt)
    _count(c, plan, again)
    if plan.length:
        transmit_sent(c, plan.row, plan.seq, plan.length, plan.size)
        recovery_sent(c, plan.length, again)
        c.r.last_sent = <uint16_t>(c.s.now_ms >> 3)
        if c.r.last_sent == 0:
            c.r.last_sent = 1
    if plan.flags & FIN:
        c.r.flags |= RECORD_FIN_SENT
        if plan.length:
            extent_at(c.s, c.a.tx_tail).flags |= EXTENT_FIN
    if c.r.snd_una == c.r.snd_nxt and not c.a.flags & ACTIVE_SYN:
        c.a.progress = c.s.now_ms
    if seq_gt(end, c.r.snd_nxt):
        c.r.snd_nxt = end
    if not c.a.flags & ACTIVE_TRANSMIT:
        c.a.flags |= ACTIVE_TRANSMIT
        c.a.transmit_at = c.s.now_ms + retransmission_timeout(c.r)


cdef uint32_t _patience(const conn_t *c) noexcept nogil:
    """The first zero-window probe comes after an RTO (SHLD-29); a small window is not waited for as long."""
    cdef uint32_t rto = retransmission_timeout(c.r)
    return OVERRIDE_MS if c.r.snd_wnd and rto > OVERRIDE_MS else rto


cdef void _wait_for_window(conn_t *c) noexcept nogil:
    """Something to send, nothing in flight, and no window worth it: the persist timer (section 3.8.6.1)."""
    cdef bint unsent = c.r.snd_nxt != c.r.snd_lbb + (c.r.flags & RECORD_FIN_SENT != 0)
    if c.r.flags & RECORD_FIN_QUEUED and not c.r.flags & RECORD_FIN_SENT:
        unsent = True
    if unsent and not c.a.flags & ACTIVE_TRANSMIT:
        c.a.flags |= ACTIVE_TRANSMIT
        c.a.progress = c.s.now_ms
        c.a.transmit_at = c.s.now_ms + _patience(c)


cdef bint _choose(conn_t *c, plan_t *plan) noexcept nogil:
    """The next segment that may leave, or none."""
    cdef recovery_t *x
    if _plan_probe(c, plan) or _plan_tail(c, plan):
        return True
    x = recovery_of(c)
    if x != NULL and frto_wants_new(x):
        if _plan_new(c, plan, False):
            return True
        if frto_waits(c, x):
            return False
    return _plan_lost(c, plan) or _plan_new(c, plan, False)


cdef bint _plan(conn_t *c, plan_t *plan) noexcept nogil:
    """The next frame that may leave, or none."""
    plan.size = _text_size(c)
    if not _choose(c, plan):
        return False
    plan.segments = offload_segments(plan.length, plan.size)
    return True


cdef void _note_limit(conn_t *c, uint32_t before) noexcept nogil:
    """Whether the congestion window is in use, after data left (RFC 7661 section 4.3)."""
    cdef uint32_t flight = c.r.snd_nxt - c.r.snd_una
    if c.r.snd_nxt == before or c.a.flags & ACTIVE_LIMITED:
        return
    # A burst of slow start may take half a round trip to fill what it doubles.
    if flight >= c.r.cwnd or (c.r.cwnd < c.r.ssthresh and 2 * flight > c.r.cwnd):
        c.a.flags |= ACTIVE_LIMITED


cdef void _emit_syn(conn_t *c, out_t *out) noexcept nogil:
    cdef segment_t fields
    connect_syn(c, &fields)
    out.frames[out.count].length = write_headers(out.frames[out.count].data, &fields)
    out_add(out)
    c.s.counters[C_OUT_SEGS] += 1
    c.g.counters[G_OUT_SEGMENTS] += 1


cdef bint _may_send(const conn_t *c) noexcept nogil:
    """In a synchronized state; or in the SYN-RECEIVED of a fast open, until its SYN-ACK seems lost."""
    if c.r.flags & RECORD_ENDED:
        return False
    return c.r.state >= ESTABLISHED or c.r.flags & RECORD_FAST_OPEN and c.r.resends == 0


cdef bint output_connection(conn_t *c, out_t *out) noexcept nogil:
    cdef plan_t plan
    cdef uint32_t before = c.r.snd_nxt
    if c.a.flags & ACTIVE_SYN_NOW:
        if out_full(out):
            return False
        _emit_syn(c, out)
    if c.r.snd_una == c.r.snd_nxt and c.r.snd_nxt != c.r.snd_lbb:
        control_restart(c)
    while _may_send(c):
        if out_full(out):
            return False
        if not _plan(c, &plan):
            break
        if plan.seq == c.r.snd_nxt:
            c.a.flags &= ~ACTIVE_LIMITED
        _emit(c, out, &plan)
        _account(c, &plan)
    if not c.r.flags & RECORD_ENDED:
        if c.a.flags & ACTIVE_ACK_NOW:
            plan = plan_t(c.r.snd_nxt, 0, 0, 0, 1, 0, False)
            _emit(c, out, &plan)
        if c.r.snd_nxt != before:
            _note_limit(c, before)
            # With a FIN behind a SYN that is not acknowledged, the timer is the SYN's.
            if not c.a.flags & ACTIVE_SYN:
                tailprobe_schedule(c)
        _wait_for_window(c)
    conn_unqueue_output(c)
    conn_arm(c)
    conn_settle(c)
    return True


cdef bint output_replies(stack_t *s, out_t *out) noexcept nogil:
    cdef segment_t *reply
    while s.reply_count:
        if out_full(out):
            return False
        reply = reply_pop(s)
        out.frames[out.count].length = write_headers(out.frames[out.count].data, reply)
        out_add(out)
        s.counters[C_OUT_SEGS] += 1
    return True
