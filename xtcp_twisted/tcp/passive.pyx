"""The record of a connection that its peer opened: what the handshake has agreed on becomes its variables.

Of the handshake it knows only what a half-open entry holds.  Whether that lay in
the table (`halfopen`) or was read from a returned cookie (`syncookies`) makes no
difference, so the connections do not differ either.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from xtcp_twisted import config
from xtcp_twisted.memory.slab cimport NONE, slab_take
from xtcp_twisted.tcp.acknowledge cimport first_window
from xtcp_twisted.tcp.congestion cimport initial_window, round_trip_sample, segment_size
from xtcp_twisted.tcp.connection cimport (
    EVENT_ESTABLISHED,
    EVENT_WRITABLE,
    conn_load,
    conn_options,
    conn_report,
)
from xtcp_twisted.tcp.counters cimport C_ECN_AGREED, C_PASSIVE_OPENS
from xtcp_twisted.tcp.fastcookies cimport fast_cookie
from xtcp_twisted.tcp.fastopens cimport COOKIE_BYTES
from xtcp_twisted.tcp.groups cimport group_row_t
from xtcp_twisted.tcp.flags cimport (
    HALF_AGAIN,
    HALF_ECN,
    RECORD_ECN,
    RECORD_KEEPALIVE,
    RECORD_NAGLE,
    RECORD_NARROWED,
    RECORD_OWN_KEEPALIVE,
    RECORD_OWN_NAGLE,
    RECORD_OWN_TIMEOUT,
    RECORD_PAUSED,
    RECORD_SACK,
    RECORD_SCALING,
    RECORD_SHORT,
    RECORD_TIMESTAMPS,
)
from xtcp_twisted.tcp.layout cimport record_at, record_t
from xtcp_twisted.tcp.pathmtu cimport pathmtu_begin
from xtcp_twisted.tcp.reply cimport reply_new, reply_of_group
from xtcp_twisted.tcp.states cimport ESTABLISHED, LISTEN, SYN_RECEIVED, set_state
from xtcp_twisted.tcp.synoptions cimport own_mss
from xtcp_twisted.tcp.tuples cimport timestamp_offset
from xtcp_twisted.wire.segment cimport (
    ACK, ECE, HAS_FAST_OPEN, HAS_MSS, HAS_SACK_PERMITTED, HAS_SCALE, HAS_TIMESTAMPS, SYN
)

cdef enum:
    # What the application said, and was told, before the handshake was complete.
    KEPT = (
        RECORD_PAUSED | RECORD_SHORT | RECORD_NAGLE | RECORD_KEEPALIVE
        | RECORD_OWN_TIMEOUT | RECORD_OWN_NAGLE | RECORD_OWN_KEEPALIVE
    )

cdef uint32_t WINDOW_SCALE = config.WINDOW_SCALE
cdef uint32_t INITIAL_RTO_MS = config.INITIAL_RTO_MS
cdef uint32_t RTO_AFTER_LOST_SYN_MS = config.RTO_AFTER_LOST_SYN_MS
cdef uint32_t COOKIE_LIFETIME_MS = 2_000 * config.COOKIE_SLOT_S


cdef void passive_identify(half_open_t *h, const segment_t *seg, uint32_t group_row) noexcept nogil:
    memcpy(h.remote, seg.remote, 16)
    h.remote_port = seg.remote_port
    h.local_port = seg.local_port
    h.slot = NONE
    h.group_row = <uint16_t>group_row


cdef segment_t *passive_syn_ack(stack_t *s, const half_open_t *h, const uint8_t *local) noexcept nogil:
    cdef group_row_t *g = &s.groups[h.group_row]
    cdef segment_t *reply = reply_new(s)
    if reply == NULL:
        return NULL
    memcpy(reply.remote, h.remote, 16)
    memcpy(reply.local, local, 16)
    reply.remote_port = h.remote_port
    reply.local_port = h.local_port
    reply_of_group(reply, g)
    reply.flags = SYN | ACK | (ECE if h.flags & HALF_ECN else 0)
    reply.seq = h.iss
    reply.ack = h.irs + 1
    reply.window = <uint16_t>first_window(s.pools[g.pool_row].chunks.capacity, g.weight)
    reply.has = HAS_MSS | h.has
    reply.mss = <uint16_t>own_mss(s, g, h.remote)
    reply.scale = <uint8_t>WINDOW_SCALE
    if h.has & HAS_TIMESTAMPS:
        reply.ts_val = s.now_ms + timestamp_offset(s, reply)
        reply.ts_ecr = h.ts_recent
    if h.has & HAS_FAST_OPEN:
        reply.cookie_length = COOKIE_BYTES
        fast_cookie(s, reply, reply.cookie)
    return reply


cdef uint32_t passive_record(stack_t *s, const half_open_t *h, uint32_t group_row) noexcept nogil:
    cdef uint32_t slot = slab_take(&s.records)
    cdef record_t *r
    if slot == NONE:
        return NONE
    r = record_at(s, slot)
    memcpy(r.remote, h.remote, 16)
    r.remote_port = h.remote_port
    r.local_port = h.local_port
    r.local_row = h.local_row
    r.group_row = <uint16_t>group_row
    r.active = NONE
    r.mss = h.mss
    r.created = <uint32_t>(s.now_us // 1_000_000)
    r.last_heard = s.now_ms
    r.rcv_nxt = r.rcv_ackd = r.rcv_adv = h.irs + 1
    r.snd_una = r.snd_nxt = r.snd_lbb = h.iss + 1
    pathmtu_begin(s, slot)
    r.flags |= conn_options(&s.groups[group_row])
    s.groups[group_row].references += 1
    # A request counts as nobody's connection until its handshake is complete.
    r.state = LISTEN
    s.state_counts[LISTEN] += 1
    set_state(s, r, SYN_RECEIVED)
    s.state_counts[SYN_RECEIVED] -= 1
    return slot


cdef void _agree(record_t *r, const half_open_t *h, uint32_t window) noexcept nogil:
    """What the two SYNs have agreed on; `window` is what ours has shown."""
    r.rcv_adv = h.irs + 1 + window
    r.scales = <uint8_t>(WINDOW_SCALE << 4 | h.scale)
    r.flags &= RECORD_NARROWED | KEPT
    if h.has & HAS_SCALE:
        r.flags |= RECORD_SCALING
    if h.has & HAS_SACK_PERMITTED:
        r.flags |= RECORD_SACK
    if h.has & HAS_TIMESTAMPS:
        r.flags |= RECORD_TIMESTAMPS
        # RFC 7323 section 4.3: this segment's own TSval only if it begins at RCV.NXT, which is seen to next.
        r.ts_recent = h.ts_recent
    if h.flags & HALF_ECN:
        r.flags |= RECORD_ECN
    r.cwnd = initial_window(r)
    r.ssthresh = 0x3FFFFFFF


cdef uint32_t _since_syn_ack(const stack_t *s, const half_open_t *h) noexcept nogil:
    """How long ago the first SYN-ACK left, ms; of a cookie, at the longest."""
    if h.tries == 0:
        return COOKIE_LIFETIME_MS
    # It was due again after 1, 2, 4 ... times the RTO (RFC 6298 (5.5)).
    return s.now_ms - (h.due - INITIAL_RTO_MS * ((1U << h.tries) - 1))


cdef void _measure(const stack_t *s, record_t *r, const half_open_t *h, const segment_t *seg) noexcept nogil:
    """The first round trip, and what a lost SYN-ACK costs: RFC 6298 (2.2) and (5.7), RFC 6928 section 2.

    By the timestamp that came back (RFC 7323 section 4.1), or by a SYN-ACK that was sent once (Karn).
    """
    cdef uint32_t since = _since_syn_ack(s, h), echoed = s.now_ms + r.ts_offset - seg.ts_ecr
    if r.flags & RECORD_TIMESTAMPS and echoed <= since:
        round_trip_sample(r, echoed * 1000)
    elif h.tries == 1 and not h.flags & HALF_AGAIN:
        round_trip_sample(r, since * 1000)
    elif h.tries > 1:
        r.rttvar = RTO_AFTER_LOST_SYN_MS * 1000
    if h.tries > 2:
        r.cwnd = segment_size(r)


cdef void passive_establish(
    stack_t *s, uint32_t slot, const half_open_t *h, const segment_t *seg, uint32_t tag, conn_t *c
) noexcept nogil:
    cdef record_t *r = record_at(s, slot)
    passive_begin(s, slot, h, seg, tag, <uint32_t>seg.window << h.scale, c)
    _measure(s, r, h, seg)
    set_state(s, r, ESTABLISHED)
    if r.flags & RECORD_ECN:
        s.counters[C_ECN_AGREED] += 1


cdef void passive_begin(
    stack_t *s,
    uint32_t slot,
    const half_open_t *h,
    const segment_t *seg,
    uint32_t tag,
    uint32_t window,
    conn_t *c,
) noexcept nogil:
    cdef record_t *r = record_at(s, slot)
    conn_load(c, s, slot)
    s.state_counts[SYN_RECEIVED] += 1
    s.counters[C_PASSIVE_OPENS] += 1
    c.g.connections += 1
    _agree(r, h, first_window(c.p.chunks.capacity, c.g.weight))
    r.snd_wnd = r.max_snd_wnd = window
    r.snd_wl1 = seg.seq
    r.snd_wl2 = seg.ack
    r.tag = tag
    r.ts_offset = timestamp_offset(s, seg)
    conn_report(c, EVENT_ESTABLISHED)
    if r.flags & RECORD_SHORT:
        r.flags &= ~<uint32_t>RECORD_SHORT
        conn_report(c, EVENT_WRITABLE)
