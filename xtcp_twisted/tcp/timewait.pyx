"""TIME-WAIT (RFC 9293 section 3.4.2 and 3.10.7.4, RFC 1337, RFC 6191) in 40 bytes an entry.

Entries lie in a ring in the order in which they expire.  One whose time was
restarted by a repeated FIN is moved to the end when its first turn comes.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from xtcp_twisted.memory.index cimport index_remove, index_replace
from xtcp_twisted.memory.slab cimport NONE
from xtcp_twisted.tcp.counters cimport C_TIME_WAIT_OVERFLOW
from xtcp_twisted.tcp.layout cimport (
    RECORD_TIMESTAMPS,
    REFERENCE_SHIFT,
    REFERENCE_TIME_WAIT,
    earlier,
    local_at,
    time_wait_t,
)
from xtcp_twisted.tcp.reply cimport reply_to
from xtcp_twisted.tcp.tuples cimport local_drop, timestamp_offset, tuple_tag
from xtcp_twisted.wire.segment cimport ACK, FIN, HAS_TIMESTAMPS, RST, SYN
from xtcp_twisted.wire.sequence cimport seq_gt


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
    w.local_row = NONE
    s.time_wait_live -= 1


cdef void _drop_head(stack_t *s) noexcept nogil:
    cdef uint32_t row = s.time_wait_head
    if s.time_waits[row].local_row != NONE:
        _kill(s, row, _tag(s, &s.time_waits[row]))
    s.time_wait_head = (row + 1) % s.time_wait_capacity
    s.time_wait_count -= 1


cdef uint32_t _new_tail(stack_t *s) noexcept nogil:
    cdef uint32_t row = (s.time_wait_head + s.time_wait_count) % s.time_wait_capacity
    s.time_wait_count += 1
    return row


cdef void time_wait_enter(conn_t *c) noexcept nogil:
    cdef stack_t *s = c.s
    cdef uint32_t row
    cdef time_wait_t *w
    if s.time_wait_count == s.time_wait_capacity:
        s.counters[C_TIME_WAIT_OVERFLOW] += 1
        _drop_head(s)
    row = _new_tail(s)
    w = &s.time_waits[row]
    memcpy(w.remote, c.r.remote, 16)
    w.remote_port = c.r.remote_port
    w.local_port = c.r.local_port
    w.local_row = c.r.local_row
    w.snd_nxt = c.r.snd_nxt
    w.rcv_nxt = c.r.rcv_nxt
    w.ts_recent = c.r.ts_recent
    w.expires = ((s.now_ms + s.limits.time_wait_ms) & ~1U) | (c.r.flags & RECORD_TIMESTAMPS != 0)
    index_replace(&s.index, c.r.tag, c.slot, _reference(row))
    s.time_wait_live += 1


cdef bint _reopens(const time_wait_t *w, const segment_t *seg) noexcept nogil:
    """RFC 6191 section 2: a SYN that is certainly newer than the old connection."""
    if seg.flags & ACK:
        return False
    if w.expires & 1 and seg.has & HAS_TIMESTAMPS and seg.ts_val != w.ts_recent:
        return seq_gt(seg.ts_val, w.ts_recent)
    return seq_gt(seg.seq, w.rcv_nxt)


cdef bint time_wait_segment(stack_t *s, uint32_t row, const segment_t *seg, uint32_t tag) noexcept nogil:
    cdef time_wait_t *w = &s.time_waits[row]
    cdef segment_t *reply
    # RFC 1337: a reset does not end TIME-WAIT.
    if seg.flags & RST:
        return False
    if seg.flags & SYN and _reopens(w, seg):
        _kill(s, row, tag)
        return True
    if seg.flags & FIN and not seg.flags & SYN:
        w.expires = ((s.now_ms + s.limits.time_wait_ms) & ~1U) | (w.expires & 1)
    elif not seg.flags & SYN and seg.length == 0 and seg.seq == w.rcv_nxt:
        return False
    reply = reply_to(s, seg, ACK, w.snd_nxt, w.rcv_nxt)
    if reply == NULL:
        return False
    # The peer has sent its FIN; the window says only that nothing was taken back.
    reply.window = 65_535
    if w.expires & 1:
        reply.has = HAS_TIMESTAMPS
        reply.ts_val = s.now_ms + timestamp_offset(s, seg)
        reply.ts_ecr = w.ts_recent
    return False


cdef bint _in_order(const stack_t *s) noexcept nogil:
    """Whether the head of the ring expires first: it does unless a repeated FIN restarted it."""
    cdef const time_wait_t *head = &s.time_waits[s.time_wait_head]
    cdef const time_wait_t *following = &s.time_waits[(s.time_wait_head + 1) % s.time_wait_capacity]
    if s.time_wait_count == 1 or s.time_wait_count == s.time_wait_capacity:
        return True
    return following.local_row != NONE and not earlier(following.expires, head.expires)


cdef void time_wait_age(stack_t *s) noexcept nogil:
    cdef uint32_t _, row, tail, most = s.time_wait_count
    cdef time_wait_t *w
    for _ in range(most):
        row = s.time_wait_head
        w = &s.time_waits[row]
        if w.local_row == NONE or not earlier(s.now_ms, w.expires):
            _drop_head(s)
        elif _in_order(s):
            return
        else:
            tail = _new_tail(s)
            s.time_waits[tail] = w[0]
            index_replace(&s.index, _tag(s, w), _reference(row), _reference(tail))
            w.local_row = NONE
            _drop_head(s)
