"""SEGMENT ARRIVES for the synchronized states (RFC 9293 section 3.10.7.4), a function per step.

What RFC 5961 (blind attacks) and RFC 7323 (PAWS) add stands at its step.
Sequence acceptability is judged against `rcv_adv`, the window as shown.
"""

from libc.stdint cimport int32_t, uint32_t

from xtcp_twisted.memory.links cimport UNLINKED
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.acknowledge cimport (
    ack_challenge,
    ack_distant_reset,
    ack_number,
    ack_paced,
    ack_received,
)
from xtcp_twisted.tcp.close cimport conn_fail, conn_finished, conn_free
from xtcp_twisted.tcp.congestion cimport round_trip_sample, segment_size
from xtcp_twisted.tcp.connection cimport (
    EVENT_DATA,
    EVENT_EOF,
    EVENT_RESET,
    EVENT_WRITABLE,
    conn_ack_now,
    conn_arm,
    conn_lease,
    conn_pressure,
    conn_queue_output,
    conn_report,
    conn_settle,
    conn_update_ready,
    group_throttled,
)
from xtcp_twisted.tcp.counters cimport (
    C_ABORT_ON_DATA,
    C_DATA_SEGS_IN,
    C_DELIVERED_CE,
    C_IN_BYTES,
    C_DUPLICATES,
    C_ESTAB_RESETS,
    C_OFO_DROP,
    C_OFO_QUEUE,
    C_PAWS_ESTAB_REJECTED,
    C_RCV_Q_DROP,
    C_SYN_CHALLENGE,
)
from xtcp_twisted.tcp.disorder cimport DUP_THRESH, delivery_t, recovery_of
from xtcp_twisted.tcp.ecn cimport ecn_acknowledged, ecn_arrives
from xtcp_twisted.tcp.groups cimport G_DATA_IN, G_IN_BYTES, G_IN_SEGMENTS, T_ACKS_TAKEN
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_ACK_NOW,
    ACTIVE_FIN_PENDING,
    ACTIVE_LINGER,
    ACTIVE_REORDER,
    ACTIVE_TAIL,
    ACTIVE_TRANSMIT,
    RECORD_DETACHED,
    RECORD_ECN,
    RECORD_FIN_QUEUED,
    RECORD_FIN_RECEIVED,
    RECORD_FIN_SENT,
    RECORD_FULL_ACKED,
    RECORD_PAUSED,
    RECORD_SACK,
    RECORD_SCALING,
    RECORD_SHORT,
    RECORD_TIMESTAMPS,
    RECORD_TS_STALE,
)
from xtcp_twisted.tcp.heard cimport heard_until
from xtcp_twisted.tcp.pressure cimport PRESSURE_WITHHOLDING
from xtcp_twisted.tcp.readiness cimport group_holds
from xtcp_twisted.tcp.receive cimport overlap_t, receive_append, receive_keep
from xtcp_twisted.tcp.recovery cimport recovery_acknowledged, recovery_window_opened
from xtcp_twisted.tcp.replay cimport replay_duplicate
from xtcp_twisted.tcp.reply cimport reply_acknowledgement, reply_of_group, reply_reset
from xtcp_twisted.tcp.sackblocks cimport sack_advance, sack_duplicate, sack_keep
from xtcp_twisted.tcp.scoreboard cimport scoreboard_sack
from xtcp_twisted.tcp.states cimport (
    CLOSE_WAIT,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    set_state,
)
from xtcp_twisted.tcp.throttle cimport throttle_discard, throttle_refuses
from xtcp_twisted.tcp.transmit cimport transmit_acknowledged, transmit_room
from xtcp_twisted.tcp.urgent cimport urgent_arrives
from xtcp_twisted.wire.segment cimport ACK, FIN, HAS_SACK, HAS_TIMESTAMPS, RST, SYN, URG
from xtcp_twisted.wire.sequence cimport seq_ge, seq_gt, seq_le, seq_lt

cdef enum:
    FIN_WAIT_2_MS = 60_000     # a finished connection waits no longer for the peer's FIN
    LINGER_MS = 180_000


cdef bint _paws(conn_t *c, const segment_t *seg) noexcept nogil:
    """RFC 7323 section 5.3, R1 to R3: False for a segment from the past, or without timestamps."""
    # A SYN is challenged whatever its timestamps say (RFC 5961 section 4).
    if not c.r.flags & RECORD_TIMESTAMPS or seg.flags & (RST | SYN):
        return True
    if not seg.has & HAS_TIMESTAMPS:
        # Section 3.2: dropped silently once timestamps were agreed.
        c.s.counters[C_PAWS_ESTAB_REJECTED] += 1
        return False
    if <int32_t>(seg.ts_val - c.r.ts_recent) < 0 and not c.r.flags & RECORD_TS_STALE:
        c.s.counters[C_PAWS_ESTAB_REJECTED] += 1
        ack_paced(c)
        return False
    return True


cdef bint _acceptable(const conn_t *c, const segment_t *seg) noexcept nogil:
    """First step: the table of section 3.10.7.4 for SEG.LEN and RCV.WND."""
    cdef uint32_t window = c.r.rcv_adv - c.r.rcv_nxt
    cdef uint32_t length = seg.length + (seg.flags & FIN != 0) + (seg.flags & SYN != 0)
    cdef uint32_t last = seg.seq + length - 1
    if length == 0 or seg.flags & RST:
        # A reset counts with a closed window, too, whatever it carries (MUST-66, SHLD-2).
        if window == 0:
            return seg.seq == c.r.rcv_nxt
        return seq_ge(seg.seq, c.r.rcv_nxt) and seq_lt(seg.seq, c.r.rcv_adv)
    if window == 0:
        return False
    if seq_ge(seg.seq, c.r.rcv_nxt) and seq_lt(seg.seq, c.r.rcv_adv):
        return True
    return seq_ge(last, c.r.rcv_nxt) and seq_lt(last, c.r.rcv_adv)


cdef void _update_ts_recent(conn_t *c, const segment_t *seg) noexcept nogil:
    """RFC 7323 section 4.3: SEG.TSval >= TS.Recent and SEG.SEQ <= Last.ACK.sent."""
    cdef uint32_t last_ack = c.a.wire_ack if c.a != NULL else c.r.rcv_nxt
    if not c.r.flags & RECORD_TIMESTAMPS or seq_gt(seg.seq, last_ack):
        return
    if c.r.flags & RECORD_TS_STALE or <int32_t>(seg.ts_val - c.r.ts_recent) >= 0:
        c.r.ts_recent = seg.ts_val
        c.r.flags &= ~<uint32_t>RECORD_TS_STALE


cdef bint _check_rst_and_syn(conn_t *c, const segment_t *seg) noexcept nogil:
    """Second and fourth step with RFC 5961 sections 3 and 4; False: the segment is dealt with."""
    if seg.flags & RST:
        if seg.seq == c.r.rcv_nxt:
            c.s.counters[C_ESTAB_RESETS] += 1
            conn_fail(c, EVENT_RESET, 104)
        else:
            ack_challenge(c)
        return False
    if seg.flags & SYN:
        c.s.counters[C_SYN_CHALLENGE] += 1
        ack_challenge(c)
        return False
    return seg.flags & ACK != 0


cdef void _sample_round_trip(conn_t *c, const segment_t *seg, const delivery_t *d) noexcept nogil:
    """Karn's algorithm: no sample from what was sent twice, unless timestamps tell (RFC 7323 4.1)."""
    cdef uint32_t us
    if d.timed:
        us = <uint32_t>c.s.now_us - d.sent_at
        # What came during that flush, before the segment itself, may be missing.
        heard_until(c.s, c.s.now_us - us - 1)
        round_trip_sample(c.r, us)
    elif seg.has & HAS_TIMESTAMPS and c.r.flags & RECORD_TIMESTAMPS and seg.ts_ecr:
        round_trip_sample(c.r, (c.s.now_ms + c.r.ts_offset - seg.ts_ecr) * 1000)


cdef void _new_acknowledgement(conn_t *c, const segment_t *seg, delivery_t *d) noexcept nogil:
    """SND.UNA < SEG.ACK =< SND.NXT: purge the cache (P19), time the trip."""
    d.acked = seg.ack - c.r.snd_una
    conn_lease(c)
    if c.p.pressure.state and conn_pressure(c) >= PRESSURE_WITHHOLDING:
        # Whatever becomes of its payload (P30).
        group_throttled(c.s, c.g, T_ACKS_TAKEN, 1)
    transmit_acknowledged(c, seg, d)
    _sample_round_trip(c, seg, d)
    c.r.snd_una = seg.ack
    if d.acked >= segment_size(c.r):
        c.r.flags |= RECORD_FULL_ACKED
    c.a.backoff = 0
    c.r.resends = 0
    c.a.progress = c.s.now_ms
    if c.a.flags & ACTIVE_LINGER:
        c.a.linger_at = c.s.now_ms + LINGER_MS
    if c.r.flags & RECORD_SHORT and transmit_room(c):
        c.r.flags &= ~<uint32_t>RECORD_SHORT
        conn_report(c, EVENT_WRITABLE)
    conn_queue_output(c)


cdef bint _is_repeated(const conn_t *c, const segment_t *seg) noexcept nogil:
    """RFC 5681 section 2: a duplicate acknowledgement, (a) to (e); with SACK the blocks tell more."""
    cdef uint32_t window = seg.window
    if c.r.flags & RECORD_SACK or seg.ack != c.r.snd_una or c.r.snd_una == c.r.snd_nxt:
        return False
    if c.r.flags & RECORD_SCALING:
        window <<= c.r.scales & 15
    return seg.length == 0 and not seg.flags & FIN and window == c.r.snd_wnd


cdef void _acknowledgement(conn_t *c, const segment_t *seg) noexcept nogil:
    """An acceptable SEG.ACK; an old one, overtaken on its way, may still carry news in its SACK blocks."""
    cdef delivery_t d = delivery_t(0, 0, 0, False, False, False, False, False, False)
    if c.r.flags & RECORD_ECN and c.r.snd_una != c.r.snd_nxt and seq_ge(seg.ack, c.r.snd_una):
        ecn_acknowledged(c, seg, &d)
    if seq_gt(seg.ack, c.r.snd_una):
        _new_acknowledgement(c, seg, &d)
    elif c.r.snd_una == c.r.snd_nxt and recovery_of(c) == NULL:
        return
    elif seg.ack != c.r.snd_una and not seg.has & HAS_SACK:
        return
    if seg.has & HAS_SACK and c.r.flags & RECORD_SACK:
        scoreboard_sack(c, seg, &d)
    if d.congested:
        c.s.counters[C_DELIVERED_CE] += (d.delivered + segment_size(c.r) - 1) // segment_size(c.r)
    d.repeated = _is_repeated(c, seg)
    recovery_acknowledged(c, seg, &d)


cdef void _update_window(conn_t *c, const segment_t *seg) noexcept nogil:
    """SND.WND from the newest segment only (SND.WL1, SND.WL2)."""
    cdef uint32_t window = seg.window, before = c.r.snd_wnd
    if not (seq_lt(c.r.snd_wl1, seg.seq) or (c.r.snd_wl1 == seg.seq and seq_le(c.r.snd_wl2, seg.ack))):
        return
    if c.r.flags & RECORD_SCALING:
        window <<= c.r.scales & 15
    c.r.snd_wnd = window
    c.r.snd_wl1 = seg.seq
    c.r.snd_wl2 = seg.ack
    if window > c.r.max_snd_wnd:
        c.r.max_snd_wnd = window
    if c.a == NULL or c.a.tx_head == NONE and not c.r.flags & RECORD_FIN_QUEUED:
        return
    if window == 0:
        # The peer answers probes: it is alive, and may keep its window closed for ever (MUST-37).
        c.r.resends = 0
    elif window > before:
        if before == 0:
            # The window opens: probing is over, what was probed is sent again as data.
            c.a.backoff = 0
            recovery_window_opened(c)
            c.a.flags &= ~(ACTIVE_TRANSMIT | ACTIVE_REORDER | ACTIVE_TAIL)
        conn_queue_output(c)


cdef bint _check_ack(conn_t *c, const segment_t *seg) noexcept nogil:
    """Fifth step with RFC 5961 section 5; False: an ACK that nobody can have sent."""
    if seq_gt(seg.ack, c.r.snd_nxt) or seq_lt(seg.ack, c.r.snd_una - c.r.max_snd_wnd):
        ack_challenge(c)
        return False
    _acknowledgement(c, seg)
    if seg.ack == c.r.snd_una:
        _update_window(c, seg)
    return True


cdef bint _is_acknowledged(const conn_t *c) noexcept nogil:
    """Whether our FIN is."""
    return c.r.flags & RECORD_FIN_SENT and c.r.snd_una == c.r.snd_lbb + 1


cdef bint _fin_acknowledged(conn_t *c) noexcept nogil:
    """Our FIN is acknowledged: the states that leave by it.  True: the connection is over."""
    if not _is_acknowledged(c):
        return False
    if c.r.state == FIN_WAIT_1:
        set_state(c.s, c.r, FIN_WAIT_2)
        if c.a != NULL and c.a.flags & ACTIVE_LINGER:
            c.a.linger_at = c.s.now_ms + FIN_WAIT_2_MS
    elif c.r.state == CLOSING:
        conn_finished(c, True)
        return True
    elif c.r.state == LAST_ACK:
        conn_finished(c, False)
        return True
    return False


cdef void _keep_text(conn_t *c, const segment_t *seg) noexcept nogil:
    """Bytes behind a gap: kept, told by SACK, and acknowledged at once (RFC 5681 section 4.2)."""
    cdef uint32_t reached = seg.seq
    cdef overlap_t twice
    cdef uint32_t kept = receive_keep(c, seg.seq, seg.payload, seg.length, &reached, &twice)
    c.s.counters[C_OFO_QUEUE if kept else C_OFO_DROP] += 1
    if twice.start != twice.end:
        sack_duplicate(c, twice.start, twice.end)
    if reached != seg.seq:
        sack_keep(c, seg.seq, reached)
    if not c.r.flags & RECORD_SACK and ack_number(c) == c.r.rcv_nxt:
        # Without SACK the peer counts duplicates: one for each segment, though a batch is answered once.
        for _ in range(min(seg.merged, DUP_THRESH) - (not c.a.flags & ACTIVE_ACK_NOW)):
            reply_acknowledgement(c.s, c.r)
    conn_ack_now(c)


cdef bint _trim_text(conn_t *c, segment_t *seg) noexcept nogil:
    """To the window; true: its head had been acknowledged before (RFC 2883 section 4.1)."""
    cdef uint32_t cut
    cdef bint old = seq_lt(seg.seq, c.r.rcv_nxt)
    if old:
        cut = c.r.rcv_nxt - seg.seq
        if ack_number(c) == c.r.rcv_nxt:
            sack_duplicate(c, seg.seq, c.r.rcv_nxt)
        seg.seq += cut
        seg.payload += cut
        seg.length -= cut
    if seq_gt(seg.seq + seg.length, c.r.rcv_adv):
        seg.length = c.r.rcv_adv - seg.seq
        seg.flags &= ~FIN
    return old


cdef void _take_text(conn_t *c, segment_t *seg) noexcept nogil:
    """Seventh step: trim to the window, keep; in order, or behind a gap."""
    cdef uint32_t before = c.r.rcv_nxt
    cdef bint prompt, whole, old = _trim_text(c, seg)
    cdef overlap_t twice
    conn_lease(c)
    c.g.counters[G_IN_BYTES] += seg.length
    c.s.counters[C_IN_BYTES] += seg.length
    c.s.counters[C_DATA_SEGS_IN] += seg.merged
    c.g.counters[G_DATA_IN] += seg.merged
    if seg.seq != c.r.rcv_nxt:
        _keep_text(c, seg)
        return
    prompt = c.a.ooo_head != NONE or old
    c.r.rcv_nxt = receive_append(c, c.r.rcv_nxt, seg.payload, seg.length, &whole, &twice)
    sack_advance(c)
    if twice.start != twice.end and not old and ack_number(c) == c.r.rcv_nxt:
        sack_duplicate(c, twice.start, twice.end)
    if not whole:
        # Over quota: the tail was not received and is not acknowledged.
        c.s.counters[C_RCV_Q_DROP] += 1
        seg.flags &= ~FIN
    if c.r.rcv_nxt != before:
        # What was delivered and not acknowledged comes again, with what is new (section 5).
        c.a.read_nxt = c.r.rcv_ackd
        ack_received(c, prompt or not whole, seg.merged)
    else:
        conn_ack_now(c)


cdef void _take_fin(conn_t *c) noexcept nogil:
    """Eighth step: everything up to the FIN is here."""
    c.a.flags &= ~ACTIVE_FIN_PENDING
    c.r.rcv_nxt += 1
    if seq_gt(c.r.rcv_nxt, c.r.rcv_adv):
        c.r.rcv_adv = c.r.rcv_nxt
    c.r.flags |= RECORD_FIN_RECEIVED
    # Bytes that were offered and not acknowledged are offered once more, with the end of the stream.
    c.a.read_nxt = c.r.rcv_ackd
    ack_received(c, True, 1)
    if not c.r.flags & RECORD_PAUSED:
        conn_report(c, EVENT_EOF)
    if c.r.state == ESTABLISHED:
        set_state(c.s, c.r, CLOSE_WAIT)
    elif c.r.state == FIN_WAIT_1 and not _is_acknowledged(c):
        set_state(c.s, c.r, CLOSING)
    elif c.r.state == FIN_WAIT_2:
        conn_ack_now(c)


cdef void _text_and_fin(conn_t *c, segment_t *seg) noexcept nogil:
    cdef uint32_t fin_seq = seg.seq + seg.length
    if c.r.flags & RECORD_FIN_RECEIVED:
        return
    if seg.length:
        _take_text(c, seg)
    if seg.flags & FIN:
        conn_lease(c)
        c.a.flags |= ACTIVE_FIN_PENDING
        c.a.fin_seq = fin_seq
        if c.r.rcv_nxt != fin_seq:
            conn_ack_now(c)
    if c.a != NULL and c.a.flags & ACTIVE_FIN_PENDING and c.a.fin_seq == c.r.rcv_nxt:
        _take_fin(c)
    conn_update_ready(c)
    if c.a.ready.next != UNLINKED and seg.length and not group_holds(c.g):
        conn_report(c, EVENT_DATA)


cdef void _unacceptable(conn_t *c, const segment_t *seg) noexcept nogil:
    """A duplicate, a probe or a stranger's guess: its ACK field still counts (P30), then the bare ACK."""
    cdef uint32_t una = c.r.snd_una
    if seg.flags & RST:
        ack_distant_reset(c, seg.seq)
        return
    if seg.flags & SYN:
        _check_rst_and_syn(c, seg)
        return
    c.s.counters[C_DUPLICATES] += 1
    c.r.last_heard = c.s.now_ms
    c.r.probes = 0
    if seg.flags & ACK and seq_le(seg.seq, c.r.rcv_adv) and not _check_ack(c, seg):
        return
    if seg.seq == c.r.rcv_nxt:
        # A probe of our closed window: always answered (MUST-37 of the other side), its URG heard (MUST-66).
        conn_ack_now(c)
        urgent_arrives(c, seg)
    elif seg.length and seq_le(seg.seq + seg.length, c.r.rcv_nxt):
        replay_duplicate(c, seg, una)
    else:
        ack_paced(c)
    _fin_acknowledged(c)


cdef bint _late_data(const conn_t *c, const segment_t *seg) noexcept nogil:
    """New bytes for an application that has closed (RFC 9293 SHLD-3, section 3.6.1)."""
    return c.r.flags & RECORD_DETACHED and seg.length and seq_gt(seg.seq + seg.length, c.r.rcv_nxt)


cdef void segment_arrives(conn_t *c, segment_t *seg) noexcept nogil:
    c.g.counters[G_IN_SEGMENTS] += seg.merged
    if not _paws(c, seg):
        conn_settle(c)
        return
    if not _acceptable(c, seg):
        _unacceptable(c, seg)
        if c.r.generation & 1 and c.a != NULL:
            conn_arm(c)
            conn_settle(c)
        return
    c.r.last_heard = c.s.now_ms
    c.r.probes = 0
    if not _check_rst_and_syn(c, seg):
        return
    if not _check_ack(c, seg):
        return
    # Not before its ACK is known to be possible: a guess must not shut the peer out (attacks: PAWS
    # poisoning).
    _update_ts_recent(c, seg)
    # FIN-WAIT-1 with a FIN: it may lead straight to TIME-WAIT (Figure 5, note 2), see segment_text.
    if not (seg.flags & FIN and c.r.state == FIN_WAIT_1) and _fin_acknowledged(c):
        return
    if _late_data(c, seg):
        # SEQ=SEG.ACK is what the peer expects next, also when our FIN has not come to it yet (RFC 5961 3.2).
        c.s.counters[C_ABORT_ON_DATA] += 1
        reply_of_group(reply_reset(c.s, seg), c.g)
        conn_free(c)
        return
    segment_text(c, seg)


cdef void segment_text(conn_t *c, segment_t *seg) noexcept nogil:
    if seg.length and c.r.flags & RECORD_ECN:
        ecn_arrives(c, seg)
    if seg.flags & URG:
        urgent_arrives(c, seg)
    if seg.length and throttle_refuses(c, seg):
        throttle_discard(c, seg)
    if seg.length or seg.flags & FIN:
        _text_and_fin(c, seg)
        if c.r.flags & RECORD_FIN_RECEIVED and (c.r.state == FIN_WAIT_1 or c.r.state == FIN_WAIT_2):
            # The peer's FIN came last; TIME-WAIT keeps no record, so its acknowledgement goes by itself.
            reply_acknowledgement(c.s, c.r)
            conn_finished(c, True)
            return
    if _fin_acknowledged(c):
        return
    if c.a != NULL:
        conn_arm(c)
        conn_settle(c)
