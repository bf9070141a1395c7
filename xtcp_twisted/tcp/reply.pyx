"""The queue of packets that belong to no record; bounded, flushed with the rest."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from xtcp_twisted.tcp.bucket cimport bucket_take
from xtcp_twisted.tcp.counters cimport C_OUT_RSTS, C_REPLY_DROPS, C_RESET_LIMITED
from xtcp_twisted.tcp.flags cimport RECORD_ECE, RECORD_SCALING, RECORD_TIMESTAMPS
from xtcp_twisted.tcp.layout cimport REPLIES, local_at
from xtcp_twisted.wire.segment cimport ACK, ECE, FIN, HAS_TIMESTAMPS, RST, SYN


cdef segment_t *reply_new(stack_t *s) noexcept nogil:
    cdef segment_t *reply
    if s.reply_count == REPLIES:
        s.counters[C_REPLY_DROPS] += 1
        return NULL
    reply = &s.replies[(s.reply_head + s.reply_count) % REPLIES]
    s.reply_count += 1
    memset(reply, 0, sizeof(segment_t))
    return reply


cdef segment_t *reply_pop(stack_t *s) noexcept nogil:
    cdef segment_t *reply
    if s.reply_count == 0:
        return NULL
    reply = &s.replies[s.reply_head]
    s.reply_head = (s.reply_head + 1) % REPLIES
    s.reply_count -= 1
    return reply


cdef segment_t *_addressed(
    stack_t *s,
    const uint8_t *remote,
    uint16_t remote_port,
    const uint8_t *local,
    uint16_t local_port,
    uint8_t flags,
    uint32_t seq,
    uint32_t ack,
) noexcept nogil:
    """A reply with its addresses and its place in the sequence space filled in."""
    cdef segment_t *reply = reply_new(s)
    if reply == NULL:
        return NULL
    memcpy(reply.remote, remote, 16)
    memcpy(reply.local, local, 16)
    reply.remote_port = remote_port
    reply.local_port = local_port
    reply.flags = flags
    reply.seq = seq
    reply.ack = ack
    return reply


cdef segment_t *reply_to(
    stack_t *s, const segment_t *seg, uint8_t flags, uint32_t seq, uint32_t ack
) noexcept nogil:
    return _addressed(s, seg.remote, seg.remote_port, seg.local, seg.local_port, flags, seq, ack)


cdef void reply_of_group(segment_t *reply, const group_row_t *g) noexcept nogil:
    if reply != NULL:
        reply.tos = g.tos
        reply.ttl = g.ttl


cdef segment_t *reply_reset(stack_t *s, const segment_t *seg) noexcept nogil:
    cdef uint32_t length = seg.length + (seg.flags & SYN != 0) + (seg.flags & FIN != 0)
    cdef segment_t *reply
    if seg.flags & RST:
        return NULL
    if not bucket_take(&s.resets, s.now_us):
        s.counters[C_RESET_LIMITED] += 1
        return NULL
    if seg.flags & ACK:
        reply = reply_to(s, seg, RST, seg.ack, 0)
    else:
        reply = reply_to(s, seg, RST | ACK, 0, seg.seq + length)
    if reply != NULL:
        s.counters[C_OUT_RSTS] += 1
    return reply


cdef segment_t *_of_record(
    stack_t *s, const record_t *r, uint8_t flags, uint32_t seq, uint32_t ack
) noexcept nogil:
    cdef const uint8_t *local = local_at(s, r.local_row).address
    cdef segment_t *reply = _addressed(s, r.remote, r.remote_port, local, r.local_port, flags, seq, ack)
    reply_of_group(reply, &s.groups[r.group_row])
    if reply != NULL and r.flags & RECORD_TIMESTAMPS:
        reply.has = HAS_TIMESTAMPS
        reply.ts_val = s.now_ms + r.ts_offset
        reply.ts_ecr = r.ts_recent
    return reply


cdef void reply_abort(stack_t *s, const record_t *r, uint32_t seq, uint32_t ack) noexcept nogil:
    if _of_record(s, r, RST | ACK, seq, ack) != NULL:
        s.counters[C_OUT_RSTS] += 1


cdef void reply_acknowledgement(stack_t *s, const record_t *r) noexcept nogil:
    _acknowledge(s, r, r.snd_nxt)


cdef void reply_probe(stack_t *s, const record_t *r) noexcept nogil:
    _acknowledge(s, r, r.snd_una - 1)


cdef void _acknowledge(stack_t *s, const record_t *r, uint32_t seq) noexcept nogil:
    cdef segment_t *reply = _of_record(s, r, ACK, seq, r.rcv_nxt)
    if reply == NULL:
        return
    reply.window = _window(r)
    if r.flags & RECORD_ECE:
        reply.flags |= ECE


cdef uint16_t _window(const record_t *r) noexcept nogil:
    """The window as it was shown last, rounded up so that its edge stays."""
    cdef int shift = r.scales >> 4 if r.flags & RECORD_SCALING else 0
    cdef uint32_t units = (r.rcv_adv - r.rcv_nxt + (1U << shift) - 1) >> shift
    return <uint16_t>(units if units < 65_535 else 65_535)
