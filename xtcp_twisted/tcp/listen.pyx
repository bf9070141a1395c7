"""Connection requests (RFC 9293 section 3.10.7.2 and .4; architecture section 7).

A SYN becomes a 64-byte entry and nothing is sent.  `accept`, or a credit posted
in advance, sends the SYN-ACK; the record is made when the handshake completes.
An entry that waits for the application lies in its group's pending list, an
accepted one in the list of those with as many SYN-ACKs sent: in each list all
wait equally long, so the head is always the next one due.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from xtcp_twisted import config
from xtcp_twisted.memory.index cimport index_insert, index_remove, index_replace
from xtcp_twisted.memory.links cimport END, list_append, list_remove
from xtcp_twisted.memory.slab cimport NONE, slab_return, slab_take
from xtcp_twisted.tcp.acknowledge cimport first_window
from xtcp_twisted.tcp.congestion cimport initial_window, round_trip_sample
from xtcp_twisted.tcp.connection cimport (
    EVENT_ESTABLISHED, EVENT_WRITABLE, conn_load, conn_release, conn_report, group_signal
)
from xtcp_twisted.tcp.counters cimport (
    C_ACCEPT_TIMEOUTS,
    C_ATTEMPT_FAILS,
    C_CHALLENGE_ACKS,
    C_LISTEN_DROPS,
    C_PASSIVE_OPENS,
    C_PRESSURE_SYN_DROPS,
    C_REFUSED,
    C_REQ_Q_FULL,
    C_RETRANS_SEGS,
    C_SYN_RETRANS,
    C_OUT_SEGS,
)
from xtcp_twisted.tcp.groups cimport G_ACCEPTED, G_REFUSED, GROUP_OPEN, GROUP_SILENT, MAX_GROUPS
from xtcp_twisted.tcp.layout cimport (
    HALF_REPORTED,
    RECORD_NARROWED,
    RECORD_PAUSED,
    RECORD_PROMISED,
    RECORD_SACK,
    RECORD_SCALING,
    RECORD_SHORT,
    RECORD_TIMESTAMPS,
    REFERENCE_HALF_OPEN,
    REFERENCE_SHIFT,
    earlier,
    half_open_at,
    local_at,
    record_at,
    record_t,
)
from xtcp_twisted.tcp.pathmtu cimport pathmtu_begin
from xtcp_twisted.tcp.pressure cimport PRESSURE_WITHHOLDING, pressure_seen
from xtcp_twisted.tcp.reply cimport reply_new, reply_reset, reply_to
from xtcp_twisted.tcp.states cimport ESTABLISHED, SYN_RECEIVED, set_state
from xtcp_twisted.tcp.synoptions cimport own_mss, syn_options_agree
from xtcp_twisted.tcp.tuples cimport (
    initial_sequence,
    listener_of,
    local_drop,
    local_hold,
    timestamp_offset,
    tuple_tag,
)
from xtcp_twisted.wire.segment cimport ACK, HAS_MSS, HAS_SACK_PERMITTED, HAS_SCALE, HAS_TIMESTAMPS, RST, SYN
from xtcp_twisted.wire.sequence cimport seq_ge, seq_lt

cdef uint32_t UNLIMITED = config.UNLIMITED
cdef uint32_t WINDOW_SCALE = config.WINDOW_SCALE
cdef uint32_t INITIAL_RTO_MS = config.INITIAL_RTO_MS
cdef uint32_t RTO_AFTER_LOST_SYN_MS = config.RTO_AFTER_LOST_SYN_MS

cdef enum:
    LINK_AT = 52               # offset of half_open_t.link


cdef bint _has_credit(stack_t *s, group_row_t *g) noexcept nogil:
    """Takes one accept credit if there is one and the rate allows it."""
    if g.credits == 0:
        return False
    if g.rate > 0:
        g.tokens += (s.now_us - g.tokens_at_us) * g.rate / 1e6
        g.tokens_at_us = s.now_us
        # The bucket holds what one tenth of a second allows, at least one.
        if g.tokens > g.rate / 10 and g.tokens > 1:
            g.tokens = g.rate / 10 if g.rate > 10 else 1
        if g.tokens < 1:
            return False
        g.tokens -= 1
    if g.credits != UNLIMITED:
        g.credits -= 1
    return True


cdef void _enqueue_pending(stack_t *s, uint32_t row, group_row_t *g) noexcept nogil:
    if g.pending.count == 0:
        s.pending_groups += 1
    list_append(&g.pending, s.half_opens.rows + LINK_AT, 64, row)
    if g.unreported == END:
        g.unreported = row
    s.unreported += 1
    group_signal(g)


cdef void _dequeue(stack_t *s, uint32_t row) noexcept nogil:
    """Out of whichever list the entry is in."""
    cdef half_open_t *h = half_open_at(s, row)
    cdef group_row_t *g = &s.groups[h.group_row]
    if h.tries:
        list_remove(&s.answered[h.tries], s.half_opens.rows + LINK_AT, 64, row)
        return
    if not h.flags & HALF_REPORTED:
        s.unreported -= 1
        if g.unreported == row:
            g.unreported = h.link.next
    list_remove(&g.pending, s.half_opens.rows + LINK_AT, 64, row)
    if g.pending.count == 0:
        s.pending_groups -= 1
    group_signal(g)


cdef void _new_entry(stack_t *s, uint32_t group_row, const segment_t *seg, uint32_t tag) noexcept nogil:
    cdef group_row_t *g = &s.groups[group_row]
    cdef half_open_t *h
    cdef uint32_t row, local = local_hold(s, seg.local)
    if local == NONE:
        s.counters[C_LISTEN_DROPS] += 1
        return
    row = slab_take(&s.half_opens)
    if row == NONE:
        local_drop(s, local)
        s.counters[C_REQ_Q_FULL] += 1
        return
    h = half_open_at(s, row)
    memcpy(h.remote, seg.remote, 16)
    h.remote_port = seg.remote_port
    h.local_port = seg.local_port
    h.local_row = local
    h.slot = NONE
    h.group_row = <uint16_t>group_row
    h.iss = initial_sequence(s, seg)
    syn_options_agree(s, g, h, seg)
    h.due = s.now_ms + s.limits.accept_timeout_ms
    index_insert(&s.index, tag, <uint32_t>REFERENCE_HALF_OPEN << REFERENCE_SHIFT | row)
    if g.pending.count == 0 and _has_credit(s, g):
        list_append(&s.answered[0], s.half_opens.rows + LINK_AT, 64, row)
        _start_answer(s, row, NONE)
    else:
        _enqueue_pending(s, row, g)


cdef void listen_segment(stack_t *s, const segment_t *seg, uint32_t tag) noexcept nogil:
    """RFC 9293 section 3.10.7.2: first RST, second ACK, third SYN, fourth nothing else."""
    cdef uint32_t group_row
    if seg.flags & RST:
        return
    group_row = listener_of(s, seg)
    if group_row == MAX_GROUPS or seg.flags & ACK:
        reply_reset(s, seg)
        return
    if not seg.flags & SYN:
        return
    if s.records.used >= s.records.capacity:
        s.counters[C_LISTEN_DROPS] += 1
        return
    if pressure_seen(&s.pools[s.groups[group_row].pool_row].pressure, s.groups[group_row].priority) >= (
        PRESSURE_WITHHOLDING
    ):
        # Unanswered: the client asks again in a second, and then in two (P28).
        s.counters[C_PRESSURE_SYN_DROPS] += 1
        return
    _new_entry(s, group_row, seg, tag)


cdef void _send_syn_ack(stack_t *s, half_open_t *h) noexcept nogil:
    cdef group_row_t *g = &s.groups[h.group_row]
    cdef segment_t *reply = reply_new(s)
    if reply == NULL:
        return
    memcpy(reply.remote, h.remote, 16)
    memcpy(reply.local, local_at(s, h.local_row).address, 16)
    reply.remote_port = h.remote_port
    reply.local_port = h.local_port
    reply.flags = SYN | ACK
    reply.seq = h.iss
    reply.ack = h.irs + 1
    reply.window = <uint16_t>first_window(s.pools[g.pool_row].chunks.capacity, g.weight)
    reply.has = HAS_MSS | h.has
    reply.mss = <uint16_t>own_mss(s, g, h.remote)
    reply.scale = <uint8_t>WINDOW_SCALE
    if h.has & HAS_TIMESTAMPS:
        reply.ts_val = s.now_ms + timestamp_offset(s, reply)
        reply.ts_ecr = h.ts_recent


cdef void _start_answer(stack_t *s, uint32_t row, uint32_t slot) noexcept nogil:
    """From the list it is in (answered[0] stands for none) to the list of one try."""
    cdef half_open_t *h = half_open_at(s, row)
    list_remove(&s.answered[0], s.half_opens.rows + LINK_AT, 64, row)
    h.tries = 1
    h.slot = slot
    h.due = s.now_ms + INITIAL_RTO_MS
    list_append(&s.answered[1], s.half_opens.rows + LINK_AT, 64, row)
    s.groups[h.group_row].counters[G_ACCEPTED] += 1
    _send_syn_ack(s, h)


cdef void half_open_accept(stack_t *s, uint32_t row, uint32_t group_row, uint32_t slot) noexcept nogil:
    cdef half_open_t *h = half_open_at(s, row)
    _dequeue(s, row)
    h.group_row = <uint16_t>group_row
    list_append(&s.answered[0], s.half_opens.rows + LINK_AT, 64, row)
    _start_answer(s, row, slot)


cdef void credits_spend(stack_t *s, uint32_t group_row) noexcept nogil:
    cdef group_row_t *g = &s.groups[group_row]
    while g.pending.count and _has_credit(s, g):
        half_open_accept(s, g.pending.head, group_row, NONE)


cdef void _forget(stack_t *s, uint32_t row) noexcept nogil:
    """Frees an entry, and the record that was promised with it."""
    cdef half_open_t *h = half_open_at(s, row)
    cdef segment_t seg
    cdef conn_t c
    _dequeue(s, row)
    memcpy(seg.remote, h.remote, 16)
    memcpy(seg.local, local_at(s, h.local_row).address, 16)
    seg.remote_port = h.remote_port
    seg.local_port = h.local_port
    index_remove(&s.index, tuple_tag(s, &seg), <uint32_t>REFERENCE_HALF_OPEN << REFERENCE_SHIFT | row)
    local_drop(s, h.local_row)
    if h.slot != NONE:
        s.groups[h.group_row].references -= 1
        # `need` and `broadcast` may have leased a block before the handshake.
        conn_load(&c, s, h.slot)
        conn_release(&c)
        slab_return(&s.records, h.slot)
    slab_return(&s.half_opens, row)


cdef void half_open_refuse(stack_t *s, uint32_t row, bint quiet) noexcept nogil:
    cdef half_open_t *h = half_open_at(s, row)
    cdef group_row_t *g = &s.groups[h.group_row]
    cdef segment_t seg
    g.counters[G_REFUSED] += 1
    s.counters[C_REFUSED] += 1
    if not quiet and not g.flags & GROUP_SILENT:
        memset(&seg, 0, sizeof(seg))
        memcpy(seg.remote, h.remote, 16)
        memcpy(seg.local, local_at(s, h.local_row).address, 16)
        seg.remote_port = h.remote_port
        seg.local_port = h.local_port
        seg.seq = h.irs
        seg.flags = SYN
        if h.tries:
            seg.flags = ACK
            seg.ack = h.iss + 1
        reply_reset(s, &seg)
    _forget(s, row)


cdef void half_open_unreachable(stack_t *s, uint32_t row) noexcept nogil:
    s.counters[C_ATTEMPT_FAILS] += 1
    _forget(s, row)


cdef void _fill_identity(stack_t *s, uint32_t slot, const half_open_t *h, uint32_t group_row) noexcept nogil:
    cdef record_t *r = record_at(s, slot)
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
    s.groups[group_row].references += 1


cdef uint32_t half_open_promise(stack_t *s, uint32_t row, uint32_t group_row) noexcept nogil:
    cdef uint32_t slot = slab_take(&s.records)
    if slot == NONE:
        return NONE
    _fill_identity(s, slot, half_open_at(s, row), group_row)
    record_at(s, slot).flags |= RECORD_PROMISED
    record_at(s, slot).state = SYN_RECEIVED
    record_at(s, slot).tag = row
    return slot


cdef void half_open_drop(stack_t *s, uint32_t group_row) noexcept nogil:
    cdef uint32_t tries, row, following
    for tries in range(1, s.limits.syn_ack_tries + 1):
        row = s.answered[tries].head
        while row != END:
            following = half_open_at(s, row).link.next
            if half_open_at(s, row).group_row == group_row:
                half_open_refuse(s, row, False)
            row = following


cdef uint32_t half_open_of(const stack_t *s, uint32_t slot) noexcept nogil:
    # Until the handshake completes the tag of a promised record is the row of its entry.
    return record_at(s, slot).tag if record_at(s, slot).flags & RECORD_PROMISED else NONE


cdef void _complete(record_t *r, const half_open_t *h, const segment_t *seg, uint32_t window) noexcept nogil:
    """The sequence variables of a connection whose handshake this segment completes."""
    r.rcv_adv = h.irs + 1 + window
    r.scales = <uint8_t>(WINDOW_SCALE << 4 | h.scale)
    # What the application said and was told before.
    r.flags &= RECORD_PAUSED | RECORD_SHORT | RECORD_NARROWED
    if h.has & HAS_SCALE:
        r.flags |= RECORD_SCALING
    if h.has & HAS_SACK_PERMITTED:
        r.flags |= RECORD_SACK
    if h.has & HAS_TIMESTAMPS:
        r.flags |= RECORD_TIMESTAMPS
        r.ts_recent = seg.ts_val
    r.snd_wnd = <uint32_t>seg.window << h.scale
    r.max_snd_wnd = r.snd_wnd
    r.snd_wl1 = seg.seq
    r.snd_wl2 = seg.ack
    r.cwnd = initial_window(r)
    r.ssthresh = 0x3FFFFFFF


cdef bint _establish(stack_t *s, uint32_t row, const segment_t *seg, uint32_t tag, conn_t *c) noexcept nogil:
    cdef half_open_t *h = half_open_at(s, row)
    cdef uint32_t slot = h.slot
    cdef group_row_t *g = &s.groups[h.group_row]
    cdef record_t *r
    if slot == NONE:
        slot = slab_take(&s.records)
        if slot == NONE:
            s.counters[C_LISTEN_DROPS] += 1
            return False
        _fill_identity(s, slot, h, h.group_row)
        record_at(s, slot).state = SYN_RECEIVED
    r = record_at(s, slot)
    s.state_counts[SYN_RECEIVED] += 1
    g.connections += 1
    _complete(r, h, seg, first_window(s.pools[g.pool_row].chunks.capacity, g.weight))
    r.tag = tag
    r.ts_offset = timestamp_offset(s, seg)
    if h.tries == 1:
        # The handshake is the first round trip (its SYN-ACK was sent once).
        round_trip_sample(r, (s.now_ms - (h.due - INITIAL_RTO_MS)) * 1000)
    elif not r.flags & RECORD_TIMESTAMPS:
        r.rttvar = RTO_AFTER_LOST_SYN_MS * 1000
    index_replace(&s.index, tag, <uint32_t>REFERENCE_HALF_OPEN << REFERENCE_SHIFT | row, slot)
    _dequeue(s, row)
    slab_return(&s.half_opens, row)
    set_state(s, r, ESTABLISHED)
    s.counters[C_PASSIVE_OPENS] += 1
    conn_load(c, s, slot)
    conn_report(c, EVENT_ESTABLISHED)
    if r.flags & RECORD_SHORT:
        r.flags &= ~<uint32_t>RECORD_SHORT
        conn_report(c, EVENT_WRITABLE)
    return True


cdef void _challenge(stack_t *s, const half_open_t *h, const segment_t *seg) noexcept nogil:
    cdef group_row_t *g = &s.groups[h.group_row]
    cdef uint32_t window = first_window(s.pools[g.pool_row].chunks.capacity, g.weight)
    cdef uint32_t shift = WINDOW_SCALE if h.has & HAS_SCALE else 0
    cdef segment_t *reply = reply_to(s, seg, ACK, h.iss + 1, h.irs + 1)
    if reply == NULL:
        return
    # What the SYN-ACK has shown, scaled now, and rounded up so that its edge stays.
    reply.window = <uint16_t>(window + (1U << shift) - 1 >> shift)
    if h.has & HAS_TIMESTAMPS:
        reply.has = HAS_TIMESTAMPS
        reply.ts_val = s.now_ms + timestamp_offset(s, seg)
        reply.ts_ecr = h.ts_recent


cdef void _repeated_syn(stack_t *s, uint32_t row, half_open_t *h, const segment_t *seg) noexcept nogil:
    """The same request again: merged while it waits, answered again when it was accepted."""
    if seg.seq != h.irs:
        if h.tries == 0:
            syn_options_agree(s, &s.groups[h.group_row], h, seg)
        else:
            _challenge(s, h, seg)
        return
    if h.has & HAS_TIMESTAMPS and seg.has & HAS_TIMESTAMPS:
        h.ts_recent = seg.ts_val
    if h.tries:
        s.counters[C_SYN_RETRANS] += 1
        _send_syn_ack(s, h)


cdef bint half_open_segment(
    stack_t *s, uint32_t row, const segment_t *seg, uint32_t tag, conn_t *c
) noexcept nogil:
    """SYN-RECEIVED (section 3.10.7.4); before `accept`, only a SYN and its reset mean something."""
    cdef half_open_t *h = half_open_at(s, row)
    if seg.flags & RST:
        if seg.seq == h.irs + 1:
            s.counters[C_ATTEMPT_FAILS] += 1
            _forget(s, row)
        elif h.tries and seq_ge(seg.seq, h.irs + 1) and seq_lt(seg.seq, h.irs + 1 + 65_535):
            s.counters[C_CHALLENGE_ACKS] += 1
            _challenge(s, h, seg)
        return False
    if seg.flags & SYN:
        if not seg.flags & ACK:
            _repeated_syn(s, row, h, seg)
        return False
    if not seg.flags & ACK:
        return False
    if h.tries == 0 or seg.ack != h.iss + 1:
        reply_reset(s, seg)
        return False
    if h.has & HAS_TIMESTAMPS and (not seg.has & HAS_TIMESTAMPS or earlier(seg.ts_val, h.ts_recent)):
        return False
    if seg.seq != h.irs + 1 and not (seq_ge(seg.seq, h.irs + 1) and seq_lt(seg.seq, h.irs + 1 + 65_535)):
        _challenge(s, h, seg)
        return False
    return _establish(s, row, seg, tag, c)


cdef void _expire_pending(stack_t *s) noexcept nogil:
    """Requests that the application has neither accepted nor refused in time."""
    cdef uint32_t row
    cdef group_row_t *g
    for row in range(s.group_rows.fresh):
        g = &s.groups[row]
        if not g.flags & GROUP_OPEN:
            continue
        if g.pending.count and g.credits:
            credits_spend(s, row)
        while g.pending.count and not earlier(s.now_ms, half_open_at(s, g.pending.head).due):
            s.counters[C_ACCEPT_TIMEOUTS] += 1
            half_open_refuse(s, g.pending.head, False)


cdef void half_open_timers(stack_t *s) noexcept nogil:
    cdef uint32_t tries, row
    cdef half_open_t *h
    if s.pending_groups:
        _expire_pending(s)
    for tries in range(1, s.limits.syn_ack_tries + 1):
        while s.answered[tries].count:
            row = s.answered[tries].head
            h = half_open_at(s, row)
            if earlier(s.now_ms, h.due):
                break
            if tries == s.limits.syn_ack_tries:
                s.counters[C_ATTEMPT_FAILS] += 1
                _forget(s, row)
                continue
            list_remove(&s.answered[tries], s.half_opens.rows + LINK_AT, 64, row)
            h.tries += 1
            h.due = s.now_ms + (INITIAL_RTO_MS << tries)
            list_append(&s.answered[tries + 1], s.half_opens.rows + LINK_AT, 64, row)
            s.counters[C_RETRANS_SEGS] += 1
            s.counters[C_SYN_RETRANS] += 1
            s.counters[C_OUT_SEGS] -= 1
            _send_syn_ack(s, h)


cdef void _earliest(uint32_t candidate, uint32_t *when, bint *found) noexcept nogil:
    if not found[0] or earlier(candidate, when[0]):
        when[0] = candidate
        found[0] = True


cdef bint half_open_due(const stack_t *s, uint32_t *when) noexcept nogil:
    cdef bint found = False
    cdef uint32_t row, wait
    cdef const group_row_t *g
    for row in range(1, s.limits.syn_ack_tries + 1):
        if s.answered[row].count:
            _earliest(half_open_at(s, s.answered[row].head).due, when, &found)
    if not s.pending_groups:
        return found
    for row in range(s.group_rows.fresh):
        g = &s.groups[row]
        if g.flags & GROUP_OPEN and g.pending.count:
            _earliest(half_open_at(s, g.pending.head).due, when, &found)
            if g.credits and g.rate > 0:
                wait = <uint32_t>(1000 * (1 - g.tokens) / g.rate) + 1 if g.tokens < 1 else 0
                _earliest(s.now_ms + wait, when, &found)
    return found
