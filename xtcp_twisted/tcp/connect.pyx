"""Active open, up to the moment when our SYN is acknowledged (P09).

A connecting connection is a record with an active block from the start: the
block has the retransmission timer of the SYN and the time when it is given up.
The SYN has its place in the sequence space, but not in the record's variables,
so that the queue of an application that sends before the handshake is complete
lies where it will stay:

             ISS         snd_una, snd_nxt          snd_lbb
      --------+-----------------+---------------------+----
              |  SYN (in flight |   queued, not sent  |
              |  or unsent)     |   before            |
              |                 |   ESTABLISHED       |

`ACTIVE_SYN` says that the SYN is not acknowledged.  It outlives SYN-RECEIVED
when the application closes there: the FIN leaves at once, in FIN-WAIT-1.

A destination that nobody answers for is given up by time, unless ICMP says before that it cannot be reached.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from xtcp_twisted import config
from xtcp_twisted.memory.index cimport index_insert
from xtcp_twisted.memory.slab cimport NONE, slab_take
from xtcp_twisted.tcp.acknowledge cimport (
    ack_challenge,
    ack_distant_reset,
    ack_number,
    ack_paced,
    first_window,
)
from xtcp_twisted.tcp.close cimport conn_fail
from xtcp_twisted.tcp.congestion cimport (
    initial_window,
    retransmission_timeout,
    round_trip_sample,
    segment_size,
)
from xtcp_twisted.tcp.connection cimport (
    EVENT_ESTABLISHED,
    EVENT_RESET,
    conn_ack_now,
    conn_arm,
    conn_lease,
    conn_load,
    conn_options,
    conn_queue_output,
    conn_report,
    conn_settle,
)
from xtcp_twisted.tcp.counters cimport (
    C_ACTIVE_OPENS,
    C_ECN_AGREED,
    C_OUT_SEGS,
    C_PAWS_ESTAB_REJECTED,
    C_RETRANS_SEGS,
    C_SYN_CHALLENGE,
    C_SYN_RETRANS,
    C_TCP_TIMEOUTS,
)
from xtcp_twisted.tcp.ecn cimport ecn_answered, ecn_fall_back
from xtcp_twisted.tcp.fastcookies cimport fast_cookie
from xtcp_twisted.tcp.fastopen cimport fast_open_refused
from xtcp_twisted.tcp.fastopens cimport COOKIE_BYTES
from xtcp_twisted.tcp.groups cimport G_IN_SEGMENTS, G_RESENDS, GROUP_ECN_ASKS, group_row_t
from xtcp_twisted.tcp.input cimport segment_arrives, segment_text
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_ACK_HELD,
    ACTIVE_ACK_NOW,
    ACTIVE_FAST_COOKIE,
    ACTIVE_LINGER,
    ACTIVE_SYN,
    ACTIVE_SYN_NOW,
    ACTIVE_TRANSMIT,
    RECORD_DETACHED,
    RECORD_ECN,
    RECORD_FAST_OPEN,
    RECORD_FIN_QUEUED,
    RECORD_SACK,
    RECORD_SCALING,
    RECORD_TIMESTAMPS,
)
from xtcp_twisted.tcp.layout cimport earlier, half_open_t, local_at, record_at, record_t
from xtcp_twisted.tcp.pathmtu cimport pathmtu_begin
from xtcp_twisted.tcp.recovery cimport recovery_timeout
from xtcp_twisted.tcp.reply cimport reply_of_group, reply_reset
from xtcp_twisted.tcp.states cimport (
    CLOSED,
    ESTABLISHED,
    FIN_WAIT_1,
    SYN_RECEIVED,
    SYN_SENT,
    set_state,
)
from xtcp_twisted.tcp.synoptions cimport own_mss, syn_options_agree, syn_options_offer
from xtcp_twisted.tcp.tuples cimport (
    initial_sequence,
    local_drop,
    local_hold,
    timestamp_offset,
    tuple_tag,
)
from xtcp_twisted.wire.segment cimport (
    ACK,
    CWR,
    ECE,
    HAS_FAST_OPEN,
    HAS_MSS,
    HAS_SACK_PERMITTED,
    HAS_SCALE,
    HAS_TIMESTAMPS,
    RST,
    SYN,
)
from xtcp_twisted.wire.sequence cimport seq_gt, seq_lt

cdef uint32_t WINDOW_SCALE = config.WINDOW_SCALE
cdef uint32_t RTO_AFTER_LOST_SYN_MS = config.RTO_AFTER_LOST_SYN_MS

cdef enum:
    ECONNRESET = 104
    ECONNREFUSED = 111
    LINGER_MS = 180_000        # as in close.pyx


# --- the OPEN call ------------------------------------------------------------


cdef void _fill_record(stack_t *s, record_t *r, const segment_t *tuple_, uint32_t local) noexcept nogil:
    memcpy(r.remote, tuple_.remote, 16)
    r.remote_port = tuple_.remote_port
    r.local_port = tuple_.local_port
    r.local_row = local
    r.active = NONE
    r.created = <uint32_t>(s.now_us // 1_000_000)
    r.last_heard = s.now_ms
    r.snd_una = r.snd_nxt = r.snd_lbb = initial_sequence(s, tuple_) + 1
    r.ts_offset = timestamp_offset(s, tuple_)


cdef uint32_t connect_open(
    stack_t *s, uint32_t group_row, const segment_t *tuple_, uint32_t timeout_ms
) noexcept nogil:
    """RFC 9293 section 3.10.1, active OPEN in the CLOSED state."""
    cdef group_row_t *g = &s.groups[group_row]
    cdef uint32_t slot, local = local_hold(s, tuple_.local)
    cdef record_t *r
    cdef conn_t c
    if local == NONE:
        return NONE
    slot = slab_take(&s.records)
    if slot == NONE:
        local_drop(s, local)
        return NONE
    r = record_at(s, slot)
    _fill_record(s, r, tuple_, local)
    r.group_row = <uint16_t>group_row
    r.flags = conn_options(g)
    r.mss = <uint16_t>own_mss(s, g, r.remote)
    if g.flags & GROUP_ECN_ASKS:
        r.flags |= RECORD_ECN
    r.tag = tuple_tag(s, tuple_)
    index_insert(&s.index, r.tag, slot)
    g.references += 1
    g.connections += 1
    s.state_counts[CLOSED] += 1
    set_state(s, r, SYN_SENT)
    s.counters[C_ACTIVE_OPENS] += 1
    conn_load(&c, s, slot)
    conn_lease(&c).flags = ACTIVE_SYN | ACTIVE_SYN_NOW
    # Counted from the SYN on, which leaves at a time that is not known yet.
    c.a.linger_at = timeout_ms
    conn_queue_output(&c)
    return slot


# --- the SYN ------------------------------------------------------------------


cdef void _start_timers(conn_t *c) noexcept nogil:
    """RFC 6298 (2.1) and (5.1); the limit of the attempt (RFC 9293 MUST-23)."""
    c.a.flags |= ACTIVE_TRANSMIT | ACTIVE_LINGER
    c.a.progress = c.s.now_ms
    c.a.transmit_at = c.s.now_ms + retransmission_timeout(c.r)
    c.a.linger_at += c.s.now_ms


cdef void _answer_text(conn_t *c, segment_t *fields) noexcept nogil:
    """The SYN-ACK of a fast open (fastopen.pyx): what may be acknowledged of the SYN's data is."""
    fields.ack = ack_number(c)
    fields.window = <uint16_t>(c.r.rcv_adv - fields.ack)
    if c.a.flags & ACTIVE_FAST_COOKIE:
        c.a.flags &= ~ACTIVE_FAST_COOKIE
        fields.has |= HAS_FAST_OPEN
        fields.cookie_length = COOKIE_BYTES
        fast_cookie(c.s, fields, fields.cookie)
    c.a.wire_ack = fields.ack
    c.a.held = 0
    c.a.flags &= ~(ACTIVE_ACK_NOW | ACTIVE_ACK_HELD)


cdef void connect_syn(conn_t *c, segment_t *fields) noexcept nogil:
    cdef record_t *r = c.r
    memset(fields, 0, sizeof(segment_t))
    memcpy(fields.remote, r.remote, 16)
    memcpy(fields.local, local_at(c.s, r.local_row).address, 16)
    fields.remote_port = r.remote_port
    fields.local_port = r.local_port
    fields.flags = SYN | (ECE | CWR if r.flags & RECORD_ECN else 0)
    fields.tos = c.g.tos
    fields.ttl = c.g.ttl
    fields.seq = r.snd_una - 1
    fields.window = <uint16_t>first_window(c.p.chunks.capacity, c.g.weight)
    fields.mss = <uint16_t>own_mss(c.s, c.g, r.remote)
    fields.scale = <uint8_t>WINDOW_SCALE
    fields.has = syn_options_offer(c.g)
    if r.state != SYN_SENT:
        # The peer's SYN has come: ours answers it, with what both offer.
        fields.flags = SYN | ACK | (ECE if r.flags & RECORD_ECN else 0)
        fields.ack = r.rcv_nxt
        fields.has = HAS_MSS
        if r.flags & RECORD_SCALING:
            fields.has |= HAS_SCALE
        if r.flags & RECORD_TIMESTAMPS:
            fields.has |= HAS_TIMESTAMPS
        if r.flags & RECORD_SACK:
            fields.has |= HAS_SACK_PERMITTED
    if r.flags & RECORD_FAST_OPEN:
        _answer_text(c, fields)
    if fields.has & HAS_TIMESTAMPS:
        fields.ts_val = c.s.now_ms + r.ts_offset
        fields.ts_ecr = r.ts_recent
    c.a.flags &= ~ACTIVE_SYN_NOW
    if not c.a.flags & ACTIVE_TRANSMIT:
        _start_timers(c)


cdef void connect_again(conn_t *c) noexcept nogil:
    c.s.counters[C_TCP_TIMEOUTS] += 1
    c.s.counters[C_SYN_RETRANS] += 1
    c.s.counters[C_RETRANS_SEGS] += 1
    # TCP-MIB: tcpOutSegs does not count what carries only retransmitted octets.
    c.s.counters[C_OUT_SEGS] -= 1
    c.g.counters[G_RESENDS] += 1
    ecn_fall_back(c)
    c.a.flags |= ACTIVE_SYN_NOW


# --- what the peer's SYN brings -------------------------------------------------


cdef void _take_syn(conn_t *c, const segment_t *seg) noexcept nogil:
    """IRS, RCV.NXT, the send window (never scaled in a SYN) and what both sides' options agree on."""
    cdef record_t *r = c.r
    cdef half_open_t agreed
    agreed.flags = 0
    syn_options_agree(c.s, c.g, &agreed, seg)
    r.rcv_nxt = r.rcv_ackd = seg.seq + 1
    c.a.wire_ack = c.a.delivered = c.a.read_nxt = r.rcv_nxt
    r.rcv_adv = r.rcv_nxt + first_window(c.p.chunks.capacity, c.g.weight)
    r.mss = agreed.mss
    ecn_answered(c, seg)
    pathmtu_begin(c.s, c.slot)
    r.scales = <uint8_t>(WINDOW_SCALE << 4 | agreed.scale)
    if agreed.has & HAS_SCALE:
        r.flags |= RECORD_SCALING
    if agreed.has & HAS_SACK_PERMITTED:
        r.flags |= RECORD_SACK
    if agreed.has & HAS_TIMESTAMPS:
        r.flags |= RECORD_TIMESTAMPS
        r.ts_recent = agreed.ts_recent
    r.snd_wnd = r.max_snd_wnd = seg.window
    r.snd_wl1 = seg.seq
    r.snd_wl2 = seg.ack if seg.flags & ACK else r.snd_una - 1
    r.cwnd = initial_window(r)
    r.ssthresh = 0x3FFFFFFF


cdef void _measure(conn_t *c, const segment_t *seg) noexcept nogil:
    """The first round trip (RFC 6298 (2.2), Karn), or what a lost SYN costs: (5.7) and RFC 5681 3.1."""
    cdef uint32_t since_syn = c.s.now_ms - c.a.progress, echoed
    cdef bint stamped = c.r.flags & RECORD_TIMESTAMPS and seg.has & HAS_TIMESTAMPS
    echoed = c.s.now_ms + c.r.ts_offset - seg.ts_ecr
    if stamped and echoed <= since_syn:
        round_trip_sample(c.r, echoed * 1000)
    elif c.r.resends == 0:
        round_trip_sample(c.r, since_syn * 1000)
    else:
        c.r.rttvar = RTO_AFTER_LOST_SYN_MS * 1000
    if c.r.resends > 1:
        # One lost SYN may have been the path's doing, or a first RTO shorter than the path is long.
        c.r.cwnd = segment_size(c.r)
    c.r.resends = 0
    c.a.backoff = 0


cdef void _accepted(conn_t *c, const segment_t *seg, bint again) noexcept nogil:
    """A fast open is complete.  A client that had not got the SYN-ACK has dropped the answer behind it."""
    c.r.flags &= ~<uint32_t>RECORD_FAST_OPEN
    c.g.fast_open_pending -= 1
    if c.r.state == SYN_RECEIVED:
        set_state(c.s, c.r, ESTABLISHED)
    if c.a.flags & ACTIVE_LINGER:
        c.a.linger_at = c.s.now_ms + LINGER_MS
    if again and seg.ack == c.r.snd_una and c.r.snd_una != c.r.snd_nxt:
        recovery_timeout(c)
    c.a.progress = c.s.now_ms
    conn_queue_output(c)


cdef void _established(conn_t *c, const segment_t *seg) noexcept nogil:
    """Our SYN is acknowledged."""
    cdef bint again = c.r.resends != 0
    _measure(c, seg)
    if c.r.flags & RECORD_ECN:
        c.s.counters[C_ECN_AGREED] += 1
    c.a.flags &= ~(ACTIVE_SYN | ACTIVE_SYN_NOW | ACTIVE_TRANSMIT)
    if not c.r.flags & RECORD_DETACHED:
        c.a.flags &= ~ACTIVE_LINGER
    if c.r.snd_una != c.r.snd_nxt:
        # The FIN of an application that closed in SYN-RECEIVED is in flight, or the answer of a fast open.
        c.a.flags |= ACTIVE_TRANSMIT
        c.a.transmit_at = c.s.now_ms + retransmission_timeout(c.r)
    if c.r.flags & RECORD_FAST_OPEN:
        _accepted(c, seg, again)
        return
    if c.r.state != FIN_WAIT_1:
        set_state(c.s, c.r, ESTABLISHED)
        if c.r.flags & RECORD_FIN_QUEUED:
            set_state(c.s, c.r, FIN_WAIT_1)
    c.a.progress = c.s.now_ms
    conn_report(c, EVENT_ESTABLISHED)
    conn_queue_output(c)


# --- SEGMENT ARRIVES ------------------------------------------------------------


cdef void _syn_sent(conn_t *c, segment_t *seg) noexcept nogil:
    """RFC 9293 section 3.10.7.3; the third step, security, is obsolete."""
    # First, the ACK bit: only our SYN can be acknowledged.
    if seg.flags & ACK and seg.ack != c.r.snd_una:
        reply_of_group(reply_reset(c.s, seg), c.g)
        return
    # Second, the RST bit.  RFC 5961 section 3.2: it counts if its ACK is acceptable.
    if seg.flags & RST:
        if seg.flags & ACK:
            conn_fail(c, EVENT_RESET, ECONNREFUSED)
        return
    # Fifth: neither SYN nor RST.
    if not seg.flags & SYN:
        return
    # Fourth, the SYN bit.
    _take_syn(c, seg)
    if not seg.flags & ACK:
        # Simultaneous open.  Text of a SYN is not taken: its sender still has it.
        set_state(c.s, c.r, SYN_RECEIVED)
        c.a.flags |= ACTIVE_SYN_NOW
        conn_queue_output(c)
        return
    _established(c, seg)
    conn_ack_now(c)
    seg.seq += 1
    segment_text(c, seg)


cdef void _repeated_syn(conn_t *c, const segment_t *seg) noexcept nogil:
    """The SYN of a fast open once more: as if its entry was still half open."""
    if seg.flags & ACK:
        return
    ecn_answered(c, seg)
    if c.r.flags & RECORD_TIMESTAMPS and seg.has & HAS_TIMESTAMPS and not earlier(seg.ts_val, c.r.ts_recent):
        c.r.ts_recent = seg.ts_val
    if c.r.resends == 0:
        # No round-trip time from a SYN-ACK that is sent again (Karn); its answer was probably lost, too.
        c.r.resends = 1
    c.s.counters[C_SYN_RETRANS] += 1
    c.a.flags |= ACTIVE_SYN_NOW
    conn_queue_output(c)


cdef void _crossed_syn(conn_t *c, const segment_t *seg) noexcept nogil:
    """The peer's SYN once more: lines 5 and 6 of RFC 9293's Figure 8, the simultaneous open."""
    ecn_answered(c, seg)
    if not seg.flags & ACK:
        # It has not got our SYN-ACK.
        c.a.flags |= ACTIVE_SYN_NOW
        conn_queue_output(c)
    elif seg.ack != c.r.snd_una:
        reply_of_group(reply_reset(c.s, seg), c.g)
    else:
        _established(c, seg)
        # A peer whose SYN is not acknowledged yet would go on sending this.
        conn_ack_now(c)


cdef bint _paws(conn_t *c, const segment_t *seg) noexcept nogil:
    """RFC 7323 section 5.3 for a segment that may complete the handshake."""
    if not c.r.flags & RECORD_TIMESTAMPS:
        return True
    if seg.has & HAS_TIMESTAMPS and not earlier(seg.ts_val, c.r.ts_recent):
        return True
    c.s.counters[C_PAWS_ESTAB_REJECTED] += 1
    return False


cdef bint _syn_received(conn_t *c, const segment_t *seg) noexcept nogil:
    """RFC 9293 section 3.10.7.4 for a SYN-RECEIVED that came from SYN-SENT, or from LISTEN by a fast open.

    True: our SYN is acknowledged, and what else the segment brings is still to be taken.
    """
    # SND.WL1 is the number of the peer's SYN.  Whose data was not acknowledged with it sends that again.
    cdef bint inside = seq_gt(seg.seq, c.r.snd_wl1) and seq_lt(seg.seq, c.r.rcv_adv)
    if seg.flags & SYN and not seg.flags & RST and seg.seq == c.r.snd_wl1:
        if c.r.flags & RECORD_FAST_OPEN:
            _repeated_syn(c, seg)
        else:
            _crossed_syn(c, seg)
        return False
    # First, the sequence number.
    if not inside:
        if not seg.flags & RST:
            ack_paced(c)
        else:
            ack_distant_reset(c, seg.seq)
        return False
    # Second, the RST bit: an active open is refused; RFC 5961 section 3.2 wants its number exact.  Who has
    # never sent the SYN resets what our SYN-ACK acknowledges.
    if seg.flags & RST:
        if seg.seq == c.r.rcv_nxt or seg.seq == c.a.wire_ack:
            fast_open_refused(c)
            conn_fail(c, EVENT_RESET, ECONNRESET if c.r.flags & RECORD_FAST_OPEN else ECONNREFUSED)
        else:
            ack_challenge(c)
        return False
    # Fourth, the SYN bit (RFC 5961 section 4).
    if seg.flags & SYN:
        c.s.counters[C_SYN_CHALLENGE] += 1
        ack_challenge(c)
        return False
    # Fifth, the ACK field: SND.UNA < SEG.ACK =< SND.NXT, where SND.UNA is ISS.
    if not seg.flags & ACK or not _paws(c, seg):
        return False
    if seq_lt(seg.ack, c.r.snd_una) or seq_gt(seg.ack, c.r.snd_nxt):
        reply_of_group(reply_reset(c.s, seg), c.g)
        return False
    _established(c, seg)
    return True


cdef void connect_segment(conn_t *c, segment_t *seg) noexcept nogil:
    cdef bint more = False
    c.r.last_heard = c.s.now_ms
    if c.r.state == SYN_SENT:
        _syn_sent(c, seg)
    else:
        more = _syn_received(c, seg)
    if more:
        segment_arrives(c, seg)
        return
    c.g.counters[G_IN_SEGMENTS] += 1
    if c.a != NULL:
        conn_arm(c)
        conn_settle(c)
