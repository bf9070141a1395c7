"""TIME-WAIT (RFC 9293 section 3.6.1 and 3.10.7.4, RFC 1337, RFC 6191) in 40 bytes an entry.

Entries lie in a ring in the order in which they expire.  One whose time was
restarted by a repeated FIN is moved to the end when its first turn comes.  Each
new entry ends two that have expired, and the clock hand a bounded number in each
of its slices, so no single turn pays for all that were closed at one time.
"""

from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcpy

from xtcp_twisted.memory.index cimport index_remove, index_replace
from xtcp_twisted.tcp.counters cimport (
    C_PAWS_ESTAB_REJECTED,
    C_TIME_WAIT_ACKS_SKIPPED,
    C_TIME_WAIT_OVERFLOW,
    C_TIME_WAIT_RECYCLED,
)
from xtcp_twisted.tcp.groups cimport GROUP_TIMESTAMPS, MAX_GROUPS
from xtcp_twisted.tcp.flags cimport RECORD_TIMESTAMPS, REFERENCE_SHIFT, REFERENCE_TIME_WAIT
from xtcp_twisted.tcp.layout cimport NO_LOCAL, earlier, local_at, time_wait_t
from xtcp_twisted.tcp.reply cimport reply_of_group, reply_to
from xtcp_twisted.tcp.tuples cimport (
    initial_sequence,
    listener_of,
    local_drop,
    timestamp_offset,
    tuple_tag,
)
from xtcp_twisted.wire.segment cimport ACK, FIN, HAS_TIMESTAMPS, RST, SYN
from xtcp_twisted.wire.sequence cimport seq_ge, seq_gt, seq_lt

cdef enum:
    BEYOND = 65_537            # as Linux; more than a window without scale
    ENDED_AT_ONCE = 2
    ENDED_IN_A_SLICE = 4_096   # of the clock hand: within a millisecond
    PACE_UNITS = 63            # of 8 ms: 500 ms


cdef uint32_t _reference(uint32_t row) noexcept nogil:
    return <uint32_t>REFERENCE_TIME_WAIT << REFERENCE_SHIFT | row


cdef uint32_t _tag(const stack_t *s, const time_wait_t *w) noexcept nogil:
    cdef segment_t seg
    memcpy(seg.remote, w.remote, 16)
    memcpy(seg.local, local_at(s, w.local_row).address, 16)
    seg.remote_port = w.remote_port
    seg.local_port = w.local_port
    return tuple_tag(s, &seg)


cdef void _kill(stack_t *s, uint32_t row, uint32_t tag) noexcept nogil:
    cdef time_wait_t *w = &s.time_waits[row]
    index_remove(&s.index, tag, _reference(row))
    local_drop(s, w.local_row)
    w.local_row = NO_LOCAL
    s.time_wait_live -= 1


cdef void _drop_head(stack_t *s) noexcept nogil:
    cdef uint32_t row = s.time_wait_head
    if s.time_waits[row].local_row != NO_LOCAL:
        _kill(s, row, _tag(s, &s.time_waits[row]))
    s.time_wait_head = (row + 1) % s.time_wait_capacity
    s.time_wait_count -= 1


cdef uint32_t _new_tail(stack_t *s) noexcept nogil:
    cdef uint32_t row = (s.time_wait_head + s.time_wait_count) % s.time_wait_capacity
    s.time_wait_count += 1
    return row


cdef bint _in_order(const stack_t *s) noexcept nogil:
    """Whether the head of the ring expires first: it does unless a repeated FIN restarted it."""
    cdef const time_wait_t *head = &s.time_waits[s.time_wait_head]
    cdef const time_wait_t *following = &s.time_waits[(s.time_wait_head + 1) % s.time_wait_capacity]
    if s.time_wait_count == 1 or s.time_wait_count == s.time_wait_capacity:
        return True
    return not earlier(following.expires, head.expires)


cdef void _move_head(stack_t *s, uint32_t to) noexcept nogil:
    cdef uint32_t row = s.time_wait_head
    cdef time_wait_t *w = &s.time_waits[row]
    s.time_waits[to] = w[0]
    index_replace(&s.index, _tag(s, w), _reference(row), _reference(to))
    w.local_row = NO_LOCAL
    _drop_head(s)


cdef void _end_expired(stack_t *s, uint32_t most) noexcept nogil:
    cdef uint32_t _, following
    cdef const time_wait_t *head
    if most > s.time_wait_count:
        most = s.time_wait_count
    for _ in range(most):
        head = &s.time_waits[s.time_wait_head]
        following = (s.time_wait_head + 1) % s.time_wait_capacity
        if head.local_row == NO_LOCAL or not earlier(s.now_ms, head.expires):
            _drop_head(s)
        elif s.time_wait_count > 1 and s.time_waits[following].local_row == NO_LOCAL:
            # Of a dead one the time is of no use: take its place, so that the order stays.
            _move_head(s, following)
        elif _in_order(s):
            return
        else:
            _move_head(s, _new_tail(s))


cdef void time_wait_enter(conn_t *c) noexcept nogil:
    cdef stack_t *s = c.s
    cdef uint32_t row
    cdef time_wait_t *w
    _end_expired(s, ENDED_AT_ONCE)
    if s.time_wait_count == s.time_wait_capacity:
        s.counters[C_TIME_WAIT_OVERFLOW] += 1
        _drop_head(s)
    row = _new_tail(s)
    w = &s.time_waits[row]
    memcpy(w.remote, c.r.remote, 16)
    w.remote_port = c.r.remote_port
    w.local_port = c.r.local_port
    w.local_row = <uint16_t>c.r.local_row
    w.answered = 0
    w.snd_nxt = c.r.snd_nxt
    w.rcv_nxt = c.r.rcv_nxt
    w.ts_recent = c.r.ts_recent
    w.expires = ((s.now_ms + s.limits.time_wait_ms) & ~1U) | (c.r.flags & RECORD_TIMESTAMPS != 0)
    index_replace(&s.index, c.r.tag, c.slot, _reference(row))
    s.time_wait_live += 1


cdef bint _from_the_past(const time_wait_t *w, const segment_t *seg) noexcept nogil:
    """PAWS (RFC 7323 section 5.3)."""
    return w.expires & 1 and (not seg.has & HAS_TIMESTAMPS or seq_lt(seg.ts_val, w.ts_recent))


cdef bint _reopens(const stack_t *s, const time_wait_t *w, const segment_t *seg) noexcept nogil:
    """RFC 6191 section 2: a SYN that is certainly newer than the old connection, to one who listens."""
    cdef bint newer = seq_ge(seg.seq, w.rcv_nxt)
    cdef uint32_t group_row
    if seg.flags & (ACK | FIN):
        return False
    group_row = listener_of(s, seg)
    if group_row == MAX_GROUPS:
        return False
    if not seg.has & HAS_TIMESTAMPS or not s.groups[group_row].flags & GROUP_TIMESTAMPS:
        return newer
    # Without timestamps, what is left of the old connection cannot get into one that has them.
    return not w.expires & 1 or seq_gt(seg.ts_val, w.ts_recent) or (seg.ts_val == w.ts_recent and newer)


cdef bint _paced(stack_t *s, time_wait_t *w) noexcept nogil:
    """At most one answer in 500 ms, so that two ends that do not agree fall silent."""
    cdef uint16_t now = <uint16_t>(s.now_ms >> 3)
    if w.answered and <uint16_t>(now - w.answered) < PACE_UNITS:
        s.counters[C_TIME_WAIT_ACKS_SKIPPED] += 1
        return False
    w.answered = now if now else 1
    return True


cdef void _acknowledge(stack_t *s, const time_wait_t *w, const segment_t *seg) noexcept nogil:
    cdef segment_t *reply = reply_to(s, seg, ACK, w.snd_nxt, w.rcv_nxt)
    cdef uint32_t group_row = listener_of(s, seg)
    if reply == NULL:
        return
    # The entry has no room for its group; that of a connection which we opened is not known any more.
    if group_row != MAX_GROUPS:
        reply_of_group(reply, &s.groups[group_row])
    # The peer has sent its FIN; the window says only that nothing was taken back.
    reply.window = 65_535
    if w.expires & 1:
        reply.has = HAS_TIMESTAMPS
        reply.ts_val = s.now_ms + timestamp_offset(s, seg)
        reply.ts_ecr = w.ts_recent


cdef bint time_wait_segment(stack_t *s, uint32_t row, const segment_t *seg) noexcept nogil:
    cdef time_wait_t *w = &s.time_waits[row]
    cdef uint32_t end = seg.seq + seg.length + (seg.flags & FIN != 0)
    # RFC 1337: a reset does not end TIME-WAIT.
    if seg.flags & RST:
        return False
    if seg.flags & SYN:
        if _reopens(s, w, seg):
            return True
    elif _from_the_past(w, seg):
        s.counters[C_PAWS_ESTAB_REJECTED] += 1
    elif seg.flags & FIN and end == w.rcv_nxt:
        # Section 3.10.7.4, eighth step: the peer's FIN again; our acknowledgement was lost.
        w.expires = ((s.now_ms + s.limits.time_wait_ms) & ~1U) | (w.expires & 1)
        if w.expires & 1:
            w.ts_recent = seg.ts_val
        _acknowledge(s, w, seg)
        return False
    elif seg.length == 0 and seg.seq == w.rcv_nxt and not seg.flags & FIN:
        return False
    if _paced(s, w):
        _acknowledge(s, w, seg)
    return False


cdef uint32_t time_wait_reopen(stack_t *s, uint32_t row, const segment_t *seg, uint32_t tag) noexcept nogil:
    """RFC 9293 MAY-2 (1): a number larger than any that the old connection used."""
    cdef uint32_t iss = initial_sequence(s, seg), least = s.time_waits[row].snd_nxt + BEYOND
    _kill(s, row, tag)
    s.counters[C_TIME_WAIT_RECYCLED] += 1
    return least if seq_lt(iss, least) else iss


cdef void time_wait_age(stack_t *s) noexcept nogil:
    _end_expired(s, ENDED_IN_A_SLICE)
