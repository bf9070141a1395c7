"""Segments before a connection exists: LISTEN and SYN-RECEIVED (RFC 9293 section 3.10.7.2 and .4).

A SYN becomes a 64-byte entry and nothing is sent (architecture section 7).
`accept`, or a credit posted in advance, sends the SYN-ACK; the record is made
when the handshake completes.
"""

from libc.stdint cimport uint16_t, uint32_t

from xtcp_twisted import config
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.acknowledge cimport first_window
from xtcp_twisted.tcp.connection cimport group_throttled
from xtcp_twisted.tcp.counters cimport (
    C_ATTEMPT_FAILS,
    C_CHALLENGE_ACKS,
    C_LISTEN_DROPS,
    C_LISTEN_OVERFLOWS,
    C_REQ_Q_FULL_DROP,
    C_SYN_RETRANS,
)
from xtcp_twisted.tcp.ecn cimport ecn_setup
from xtcp_twisted.tcp.fastopen cimport fast_open_admits, fast_open_forget, fast_open_offer
from xtcp_twisted.tcp.groups cimport MAX_GROUPS, T_SYN_DROPS, group_row_t
from xtcp_twisted.tcp.halfopen cimport (
    half_open_answer,
    half_open_become,
    half_open_crowded,
    half_open_forget,
    half_open_make_room,
    half_open_new,
)
from xtcp_twisted.tcp.flags cimport HALF_AGAIN, HALF_ECN
from xtcp_twisted.tcp.layout cimport earlier, half_open_at, half_open_t
from xtcp_twisted.tcp.passive cimport passive_establish, passive_record
from xtcp_twisted.tcp.precedence cimport precedence_record
from xtcp_twisted.tcp.reply cimport reply_of_group, reply_reset, reply_to
from xtcp_twisted.tcp.sharing cimport request_admitted, request_recorded
from xtcp_twisted.tcp.syncookies cimport (
    COOKIE_NONE,
    COOKIE_OPENED,
    cookie_answer,
    cookie_due,
    cookie_returned,
)
from xtcp_twisted.tcp.synoptions cimport syn_options_agree
from xtcp_twisted.tcp.timewait cimport time_wait_reopen
from xtcp_twisted.tcp.tuples cimport initial_sequence, listener_of, timestamp_offset
from xtcp_twisted.wire.segment cimport ACK, HAS_SCALE, HAS_TIMESTAMPS, RST, SYN
from xtcp_twisted.wire.sequence cimport seq_ge, seq_lt

cdef uint32_t WINDOW_SCALE = config.WINDOW_SCALE


cdef bint _admits(stack_t *s, uint32_t group_row, const segment_t *seg) noexcept nogil:
    """Whether the group, or one that shares its port, may have another connection."""
    if not request_recorded(s, group_row, seg.local):
        s.counters[C_LISTEN_OVERFLOWS] += 1
        s.counters[C_LISTEN_DROPS] += 1
        return False
    if not request_admitted(s, group_row, seg.local):
        # Unanswered: the client asks again in a second, and then in two (P28).
        group_throttled(s, &s.groups[group_row], T_SYN_DROPS, 1)
        return False
    return True


cdef bint _has_room(stack_t *s, uint32_t group_row) noexcept nogil:
    """Whether the table of half-open entries takes one more."""
    if not half_open_crowded(s) or half_open_make_room(s, group_row):
        return True
    s.counters[C_REQ_Q_FULL_DROP] += 1
    s.counters[C_LISTEN_DROPS] += 1
    return False


cdef void _request(stack_t *s, uint32_t group_row, const segment_t *seg, uint32_t tag) noexcept nogil:
    """A SYN to a listening group."""
    if not _admits(s, group_row, seg):
        return
    if cookie_due(s, group_row, seg) and not fast_open_admits(s, &s.groups[group_row], seg):
        cookie_answer(s, group_row, seg)
    elif _has_room(s, group_row):
        half_open_new(s, group_row, seg, tag, initial_sequence(s, seg))


cdef void listen_reopen(stack_t *s, uint32_t row, const segment_t *seg, uint32_t tag) noexcept nogil:
    # Never by a cookie: its number is not free to be larger than those of the old connection.
    cdef uint32_t group_row = listener_of(s, seg)
    if _admits(s, group_row, seg) and _has_room(s, group_row):
        half_open_new(s, group_row, seg, tag, time_wait_reopen(s, row, seg, tag))


cdef bint listen_segment(stack_t *s, const segment_t *seg, uint32_t tag, conn_t *c) noexcept nogil:
    """RFC 9293 section 3.10.7.2: first RST, second ACK, third SYN, fourth nothing else."""
    cdef uint32_t group_row
    cdef int cookie
    if seg.flags & RST:
        return False
    group_row = listener_of(s, seg)
    if group_row == MAX_GROUPS:
        reply_reset(s, seg)
        return False
    if seg.flags & ACK:
        cookie = cookie_returned(s, group_row, seg, tag, c)
        if cookie == COOKIE_NONE:
            reply_of_group(reply_reset(s, seg), &s.groups[group_row])
        return cookie == COOKIE_OPENED
    if seg.flags & SYN:
        _request(s, group_row, seg, tag)
    return False


cdef bint _establish(stack_t *s, uint32_t row, const segment_t *seg, uint32_t tag, conn_t *c) noexcept nogil:
    cdef half_open_t *h = half_open_at(s, row)
    cdef uint32_t slot = h.slot
    if slot == NONE:
        if precedence_record(s, &s.groups[h.group_row]):
            slot = passive_record(s, h, h.group_row)
        if slot == NONE:
            s.counters[C_LISTEN_OVERFLOWS] += 1
            s.counters[C_LISTEN_DROPS] += 1
            return False
    passive_establish(s, slot, h, seg, tag, c)
    half_open_become(s, row, slot, tag)
    return True


cdef void _challenge(stack_t *s, const half_open_t *h, const segment_t *seg) noexcept nogil:
    cdef group_row_t *g = &s.groups[h.group_row]
    cdef uint32_t window = first_window(s.pools[g.pool_row].chunks.capacity, g.weight)
    cdef uint32_t shift = WINDOW_SCALE if h.has & HAS_SCALE else 0
    cdef segment_t *reply = reply_to(s, seg, ACK, h.iss + 1, h.irs + 1)
    if reply == NULL:
        return
    reply_of_group(reply, g)
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
            fast_open_forget(s, h)
            syn_options_agree(s, &s.groups[h.group_row], h, seg)
            fast_open_offer(s, h, seg)
        else:
            _challenge(s, h, seg)
        return
    if h.has & HAS_TIMESTAMPS and seg.has & HAS_TIMESTAMPS:
        h.ts_recent = seg.ts_val
    if not ecn_setup(seg):
        # RFC 3168 section 6.1.1: one SYN that does not ask is enough.
        h.flags &= ~HALF_ECN
    if h.tries:
        s.counters[C_SYN_RETRANS] += 1
        h.flags |= HALF_AGAIN
        half_open_answer(s, h)


cdef bint half_open_segment(
    stack_t *s, uint32_t row, const segment_t *seg, uint32_t tag, conn_t *c
) noexcept nogil:
    """SYN-RECEIVED (section 3.10.7.4); before `accept`, only a SYN and its reset mean something."""
    cdef half_open_t *h = half_open_at(s, row)
    if seg.flags & RST:
        if seg.seq == h.irs + 1:
            s.counters[C_ATTEMPT_FAILS] += 1
            half_open_forget(s, row)
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
        reply_of_group(reply_reset(s, seg), &s.groups[h.group_row])
        return False
    if h.has & HAS_TIMESTAMPS and (not seg.has & HAS_TIMESTAMPS or earlier(seg.ts_val, h.ts_recent)):
        return False
    if seg.seq != h.irs + 1 and not (seq_ge(seg.seq, h.irs + 1) and seq_lt(seg.seq, h.irs + 1 + 65_535)):
        _challenge(s, h, seg)
        return False
    return _establish(s, row, seg, tag, c)
