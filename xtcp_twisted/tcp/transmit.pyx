"""The transmit queue (architecture section 4): retransmission queue and answer cache in one.

A payload is a chain of at most EXTENT_CHUNKS chunks with a reference count in
its first one, so a broadcast stores its bytes once.  How many chunks it has stands
there, too (`start`), and which one is the last in the second one (`seq`), so that
they are given back without a walk over memory that was not touched for a round trip.  An extent is one
connection's use of a payload.  When bytes leave, the extents are split where
the segment ends, so that each segment is one extent or several whole ones and
the scoreboard of loss recovery (disorder.pxd) is their flags.

Under pressure (architecture section 8) the buffer's state limits what is queued:
frozen halves the quotas above the guaranteed eight chunks, withholding takes
nothing of groups with low priority and no broadcast, discarding takes only of
connections with nothing queued.

The engine's totals of sent and unsent bytes change here and nowhere else.  They
are the connections' bytes: what a broadcast stores once counts for each receiver.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from xtcp_twisted.memory.copy cimport copy_piece
from xtcp_twisted.memory.slab cimport (
    NONE,
    slab_free_rows,
    slab_return,
    slab_return_chain,
    slab_take,
    slab_take_raw,
)
from xtcp_twisted.tcp.connection cimport EVENT_WRITABLE, conn_lease, conn_report
from xtcp_twisted.tcp.disorder cimport recovery_of, recovery_t
from xtcp_twisted.tcp.flags cimport (
    ACTIVE_WATCHED,
    EXTENT_AGAIN,
    EXTENT_LOST,
    EXTENT_RESENT,
    EXTENT_SACKED,
    EXTENT_SENT,
    RECORD_SHORT,
)
from xtcp_twisted.tcp.layout cimport CHUNK_BYTES, EXTENT_CHUNKS, chunk_t, extent_at, extent_t, payload_at
from xtcp_twisted.tcp.pressure cimport (
    PRESSURE_DISCARDING,
    PRESSURE_FROZEN,
    PRESSURE_WITHHOLDING,
    PRIORITY_LOW,
    pressure_update,
)
from xtcp_twisted.tcp.rack cimport rack_delivered
from xtcp_twisted.wire.sequence cimport seq_ge, seq_gt, seq_le, seq_lt, seq_max, seq_min

cdef enum:
    LEAST_CHUNKS = 8


cdef uint32_t transmit_room(const conn_t *c) noexcept nogil:
    cdef uint32_t free = slab_free_rows(&c.s.payloads)
    cdef uint32_t quota = free // 64 * c.g.weight, used = c.a.tx_chunks if c.a != NULL else 0
    cdef int pressure = c.s.pressure.state
    if pressure >= PRESSURE_FROZEN:
        quota //= 2
    if pressure >= PRESSURE_WITHHOLDING and c.g.priority == PRIORITY_LOW:
        return 0
    if pressure == PRESSURE_DISCARDING and used:
        return 0
    if quota < LEAST_CHUNKS:
        quota = LEAST_CHUNKS
    if used >= quota or slab_free_rows(&c.s.extents) == 0:
        return 0
    quota -= used
    return (quota if quota < free else free) * CHUNK_BYTES


cdef void transmit_wake(conn_t *c) noexcept nogil:
    if c.r.flags & RECORD_SHORT and c.r.snd_lbb == c.r.snd_una and transmit_room(c):
        c.r.flags &= ~<uint32_t>RECORD_SHORT
        conn_report(c, EVENT_WRITABLE)


cdef bint transmit_paused(const stack_t *s) noexcept nogil:
    return s.pressure.state >= PRESSURE_WITHHOLDING


cdef uint32_t payload_store(stack_t *s, const uint8_t *data, uint32_t length, uint32_t *taken) noexcept nogil:
    cdef uint32_t first = NONE, last = NONE, row, done = 0, n
    cdef uint16_t chunks = 0
    cdef chunk_t *chunk
    while done < length and chunks < EXTENT_CHUNKS:
        row = slab_take_raw(&s.payloads, sizeof(chunk_t))
        if row == NONE:
            break
        chunk = payload_at(s, row)
        n = length - done if length - done < CHUNK_BYTES else CHUNK_BYTES
        copy_piece(chunk.data, data + done, n)
        chunk.next = NONE
        chunk.length = <uint16_t>n
        done += n
        chunks += 1
        if first == NONE:
            first = row
            chunk.seq = 1
        else:
            payload_at(s, last).next = row
        last = row
    if chunks:
        payload_at(s, first).start = chunks
    if chunks > 1:
        payload_at(s, payload_at(s, first).next).seq = last
    pressure_update(&s.pressure, s.payloads.used, s.now_us)
    taken[0] = done
    return first


cdef void payload_hold(stack_t *s, uint32_t payload) noexcept nogil:
    payload_at(s, payload).seq += 1


cdef void payload_drop(stack_t *s, uint32_t payload) noexcept nogil:
    cdef chunk_t *first = payload_at(s, payload)
    cdef uint32_t last = payload
    first.seq -= 1
    if first.seq:
        return
    if first.start > 1:
        last = payload_at(s, first.next).seq
    slab_return_chain(&s.payloads, payload, last, first.start)
    pressure_update(&s.pressure, s.payloads.used, s.now_us)


cdef int transmit_queue(conn_t *c, uint32_t payload, uint32_t length) noexcept nogil:
    cdef uint32_t row = slab_take(&c.s.extents)
    cdef extent_t *extent
    if row == NONE:
        return -1
    conn_lease(c)
    extent = extent_at(c.s, row)
    extent.chunk = payload
    extent.length = length
    extent.seq = c.r.snd_lbb
    extent.payload = payload
    extent.next = NONE
    payload_hold(c.s, payload)
    if c.a.tx_tail == NONE:
        c.a.tx_head = row
        c.s.sending += 1
    else:
        extent_at(c.s, c.a.tx_tail).next = row
    c.a.tx_tail = row
    if c.a.tx_next == NONE:
        c.a.tx_next = row
    c.a.tx_chunks += (length + CHUNK_BYTES - 1) // CHUNK_BYTES
    c.r.snd_lbb += length
    c.s.queued_bytes += length
    return 0


cdef uint32_t _chunks_of(const extent_t *extent) noexcept nogil:
    """A trimmed extent still counts the chunks before its first byte."""
    return (extent.length + extent.offset + CHUNK_BYTES - 1) // CHUNK_BYTES


cdef void _free_extent(conn_t *c, uint32_t row) noexcept nogil:
    cdef extent_t *extent = extent_at(c.s, row)
    c.a.tx_chunks -= _chunks_of(extent)
    payload_drop(c.s, extent.payload)
    slab_return(&c.s.extents, row)


cdef void _split(conn_t *c, uint32_t row, uint32_t cut) noexcept nogil:
    """The bytes of an extent from `cut` on become an extent of their own.

    With none free it stays whole, and what is known of its parts is less exact.
    """
    cdef uint32_t rest = slab_take(&c.s.extents)
    cdef extent_t *first
    cdef extent_t *second
    if rest == NONE:
        return
    first = extent_at(c.s, row)
    second = extent_at(c.s, rest)
    c.a.tx_chunks -= _chunks_of(first)
    second[0] = first[0]
    first.next = rest
    first.length = cut
    second.seq += cut
    second.length -= cut
    second.offset += cut
    while second.offset >= CHUNK_BYTES:
        second.chunk = payload_at(c.s, second.chunk).next
        second.offset -= CHUNK_BYTES
    payload_hold(c.s, second.payload)
    c.a.tx_chunks += _chunks_of(first) + _chunks_of(second)
    if c.a.tx_tail == row:
        c.a.tx_tail = rest


cdef void _note_sent(conn_t *c, recovery_t *x, extent_t *extent) noexcept nogil:
    """RFC 8985 section 6.1: when it was sent last, and whether that was a retransmission."""
    if extent.flags & EXTENT_SENT:
        extent.flags |= EXTENT_RESENT
        if x != NULL and not extent.flags & EXTENT_AGAIN:
            extent.flags |= EXTENT_AGAIN
            x.again += extent.length
    extent.flags |= EXTENT_SENT
    extent.sent_at = <uint32_t>c.s.now_us


cdef void transmit_sent(conn_t *c, uint32_t row, uint32_t seq, uint32_t length, uint32_t size) noexcept nogil:
    cdef recovery_t *x = recovery_of(c)
    cdef uint32_t end = seq + length, cut = seq_min(seq + size, end), fresh = seq_max(seq, c.r.snd_nxt)
    cdef extent_t *extent
    if seq_gt(end, fresh):
        c.s.queued_bytes -= end - fresh
        c.s.unacked_bytes += end - fresh
    while row != NONE and seq_lt(extent_at(c.s, row).seq, end):
        extent = extent_at(c.s, row)
        while seq_le(cut, extent.seq):
            cut = seq_min(cut + size, end)
        if seq_gt(extent.seq + extent.length, cut):
            _split(c, row, cut - extent.seq)
        _note_sent(c, x, extent)
        # An extent that could not be split has more to send.
        if row == c.a.tx_next and seq_le(extent.seq + extent.length, end):
            c.a.tx_next = extent.next
        row = extent.next


cdef void _forget_marks(recovery_t *x, uint32_t flags, uint32_t length) noexcept nogil:
    """Bytes that leave the scoreboard."""
    if flags & EXTENT_SACKED:
        x.sacked -= length
    if flags & EXTENT_LOST:
        x.lost -= length
    if flags & EXTENT_AGAIN:
        x.again -= length


cdef void _delivered(
    conn_t *c, recovery_t *x, const segment_t *seg, extent_t *extent, uint32_t length, delivery_t *d
) noexcept nogil:
    """`length` bytes from the front of an extent are acknowledged in order."""
    c.s.unacked_bytes -= length
    if not extent.flags & EXTENT_SACKED:
        d.delivered += length
        d.sent_at = extent.sent_at
        if extent.flags & EXTENT_RESENT:
            d.timed = False
        elif x != NULL and seq_le(extent.seq + length, x.recover):
            d.original = True
    if x != NULL:
        if not extent.flags & EXTENT_SACKED:
            rack_delivered(c, x, seg, extent)
        _forget_marks(x, extent.flags, length)


cdef void transmit_acknowledged(conn_t *c, const segment_t *seg, delivery_t *d) noexcept nogil:
    cdef recovery_t *x = recovery_of(c)
    cdef uint32_t row, cut
    cdef extent_t *extent
    d.timed = True
    while c.a.tx_head != NONE:
        row = c.a.tx_head
        extent = extent_at(c.s, row)
        if seq_ge(extent.seq, seg.ack):
            break
        if seq_gt(extent.seq + extent.length, seg.ack):
            # `offset` counts from the first chunk, so that trimming needs no walk.
            cut = seg.ack - extent.seq
            _delivered(c, x, seg, extent, cut, d)
            extent.offset += cut
            extent.length -= cut
            extent.seq = seg.ack
            break
        _delivered(c, x, seg, extent, extent.length, d)
        if x != NULL and x.resend == row:
            x.resend = extent.next
        c.a.tx_head = extent.next
        if c.a.tx_head == NONE:
            c.a.tx_tail = NONE
            c.a.flags &= ~ACTIVE_WATCHED
            c.s.sending -= 1
        _free_extent(c, row)
    if d.delivered == 0:
        d.timed = False


cdef void _copy_extent(
    const conn_t *c, const extent_t *extent, uint32_t skip, uint8_t *out, uint32_t length
) noexcept nogil:
    """`length` bytes of one extent, from its byte `skip` on."""
    cdef uint32_t row = extent.chunk, offset = extent.offset + skip, n
    cdef chunk_t *chunk
    while offset >= CHUNK_BYTES:
        row = payload_at(c.s, row).next
        offset -= CHUNK_BYTES
    while length:
        chunk = payload_at(c.s, row)
        n = chunk.length - offset
        if n > length:
            n = length
        copy_piece(out, chunk.data + offset, n)
        out += n
        length -= n
        offset = 0
        row = chunk.next


cdef void transmit_copy(
    const conn_t *c, uint32_t row, uint32_t seq, uint8_t *out, uint32_t length
) noexcept nogil:
    cdef uint32_t done = 0, skip, n
    cdef const extent_t *extent
    while row != NONE and done < length:
        extent = extent_at(c.s, row)
        if seq_gt(extent.seq + extent.length, seq):
            skip = seq - extent.seq
            n = extent.length - skip
            if n > length - done:
                n = length - done
            _copy_extent(c, extent, skip, out + done, n)
            done += n
            seq += n
        row = extent.next


cdef void transmit_clear(conn_t *c) noexcept nogil:
    cdef uint32_t row, following, sent
    cdef recovery_t *x
    if c.a == NULL or c.a.tx_head == NONE:
        return
    # The queue holds snd_una to snd_lbb; a FIN that was sent takes the number after it.
    sent = seq_min(c.r.snd_nxt, c.r.snd_lbb)
    c.s.unacked_bytes -= sent - c.r.snd_una
    c.s.queued_bytes -= c.r.snd_lbb - sent
    c.s.sending -= 1
    row = c.a.tx_head
    while row != NONE:
        following = extent_at(c.s, row).next
        _free_extent(c, row)
        row = following
    c.a.tx_head = c.a.tx_tail = c.a.tx_next = NONE
    x = recovery_of(c)
    if x != NULL:
        x.sacked = x.lost = x.again = 0
        x.resend = NONE
