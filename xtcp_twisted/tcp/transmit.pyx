"""The transmit queue (architecture section 4): retransmission queue and answer cache in one.

A payload is a chain of at most EXTENT_CHUNKS chunks with a reference count in
its first one, so a broadcast stores its bytes once.  An extent is one
connection's use of a payload.

Under pressure (architecture section 8) the buffer's state limits what is queued:
frozen halves the quotas above the guaranteed eight chunks, withholding takes
nothing of groups with low priority and no broadcast, discarding takes only of
connections with nothing queued.

The engine's totals of sent and unsent bytes change here and nowhere else.  They
are the connections' bytes: what a broadcast stores once counts for each receiver.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from xtcp_twisted.memory.slab cimport NONE, slab_free_rows, slab_return, slab_take
from xtcp_twisted.tcp.connection cimport conn_lease
from xtcp_twisted.tcp.layout cimport (
    CHUNK_BYTES,
    EXTENT_CHUNKS,
    EXTENT_RESENT,
    EXTENT_SENT,
    chunk_t,
    extent_at,
    payload_at,
)
from xtcp_twisted.tcp.pressure cimport (
    PRESSURE_DISCARDING,
    PRESSURE_FROZEN,
    PRESSURE_WITHHOLDING,
    PRIORITY_LOW,
    pressure_update,
)
from xtcp_twisted.wire.checksum cimport checksum_add
from xtcp_twisted.wire.sequence cimport seq_ge, seq_gt, seq_min

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


cdef bint transmit_paused(const stack_t *s) noexcept nogil:
    return s.pressure.state >= PRESSURE_WITHHOLDING


cdef uint32_t payload_store(stack_t *s, const uint8_t *data, uint32_t length, uint32_t *taken) noexcept nogil:
    cdef uint32_t first = NONE, last = NONE, row, done = 0, n
    cdef int chunks = 0
    cdef chunk_t *chunk
    while done < length and chunks < EXTENT_CHUNKS:
        row = slab_take(&s.payloads)
        if row == NONE:
            break
        chunk = payload_at(s, row)
        n = length - done if length - done < CHUNK_BYTES else CHUNK_BYTES
        memcpy(chunk.data, data + done, n)
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
    pressure_update(&s.pressure, s.payloads.used, s.now_us)
    taken[0] = done
    return first


cdef void payload_hold(stack_t *s, uint32_t payload) noexcept nogil:
    payload_at(s, payload).seq += 1


cdef void payload_drop(stack_t *s, uint32_t payload) noexcept nogil:
    cdef uint32_t row = payload, following
    payload_at(s, payload).seq -= 1
    if payload_at(s, payload).seq:
        return
    while row != NONE:
        following = payload_at(s, row).next
        slab_return(&s.payloads, row)
        row = following
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
    c.a.tx_chunks += (length + CHUNK_BYTES - 1) // CHUNK_BYTES
    c.r.snd_lbb += length
    c.s.queued_bytes += length
    return 0


cdef void transmit_sent(conn_t *c, uint32_t n) noexcept nogil:
    c.s.queued_bytes -= n
    c.s.unacked_bytes += n


cdef void _free_extent(conn_t *c, uint32_t row) noexcept nogil:
    cdef extent_t *extent = extent_at(c.s, row)
    # A trimmed extent still counts the chunks of its whole payload.
    c.a.tx_chunks -= (extent.length + extent.offset + CHUNK_BYTES - 1) // CHUNK_BYTES
    payload_drop(c.s, extent.payload)
    slab_return(&c.s.extents, row)


cdef void transmit_acknowledged(conn_t *c, uint32_t ack, bint *resent, uint32_t *sent_at) noexcept nogil:
    cdef uint32_t row
    cdef extent_t *extent
    resent[0] = False
    sent_at[0] = 0
    while c.a.tx_head != NONE:
        row = c.a.tx_head
        extent = extent_at(c.s, row)
        if seq_ge(extent.seq, ack):
            return
        if extent.flags & EXTENT_RESENT:
            resent[0] = True
        sent_at[0] = extent.sent_at
        if seq_gt(extent.seq + extent.length, ack):
            # `offset` counts from the first chunk, so that trimming needs no walk.
            c.s.unacked_bytes -= ack - extent.seq
            extent.offset += ack - extent.seq
            extent.length -= ack - extent.seq
            extent.seq = ack
            return
        c.s.unacked_bytes -= extent.length
        c.a.tx_head = extent.next
        if c.a.tx_head == NONE:
            c.a.tx_tail = NONE
            c.s.sending -= 1
        _free_extent(c, row)


cdef void _copy_extent(
    conn_t *c, extent_t *extent, uint32_t skip, uint8_t *out, uint32_t length, uint32_t done, uint64_t *sum
) noexcept nogil:
    """`length` bytes of one extent; `done` bytes stand in the frame already (odd: the sum shifts)."""
    cdef uint32_t row = extent.chunk, offset = extent.offset + skip, n
    cdef uint64_t part
    cdef chunk_t *chunk
    while offset >= CHUNK_BYTES:
        row = payload_at(c.s, row).next
        offset -= CHUNK_BYTES
    while length:
        chunk = payload_at(c.s, row)
        n = chunk.length - offset
        if n > length:
            n = length
        memcpy(out + done, chunk.data + offset, n)
        part = checksum_add(chunk.data + offset, n, 0)
        if done & 1:
            part = (part & 0xFFFFFFFFU) + (part >> 32)
            part <<= 8
        sum[0] += (part & 0xFFFFFFFFU) + (part >> 32)
        done += n
        length -= n
        offset = 0
        row = chunk.next


cdef void transmit_copy(conn_t *c, uint32_t seq, uint8_t *out, uint32_t length, uint64_t *sum) noexcept nogil:
    cdef uint32_t row = c.a.tx_head, done = 0, skip, n
    cdef extent_t *extent
    while row != NONE and done < length:
        extent = extent_at(c.s, row)
        if seq_gt(extent.seq + extent.length, seq):
            skip = seq - extent.seq
            n = extent.length - skip
            if n > length - done:
                n = length - done
            _copy_extent(c, extent, skip, out, n, done, sum)
            if extent.flags & EXTENT_SENT and seq_gt(c.r.snd_nxt, seq):
                extent.flags |= EXTENT_RESENT
            extent.flags |= EXTENT_SENT
            extent.sent_at = <uint32_t>c.s.now_us
            done += n
            seq += n
        row = extent.next


cdef void transmit_clear(conn_t *c) noexcept nogil:
    cdef uint32_t row, following, sent
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
    c.a.tx_head = c.a.tx_tail = NONE
