"""The receive queue (RFC 9293 section 3.10.7.4, seventh step; architecture section 4).

In-order bytes are appended to a chain of chunks, small segments coalesce.
Bytes behind a gap lie in a second chain, sorted by sequence number and free of
overlap: of two copies of a byte the one received first is kept, always.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from xtcp_twisted.memory.copy cimport copy_piece
from xtcp_twisted.memory.slab cimport NONE, slab_free_rows, slab_return, slab_return_chain, slab_take_raw
from xtcp_twisted.tcp.connection cimport conn_lease
from xtcp_twisted.tcp.flags cimport RECORD_FIN_RECEIVED
from xtcp_twisted.tcp.layout cimport CHUNK_BYTES, chunk_at, chunk_t
from xtcp_twisted.tcp.pressure cimport pressure_update
from xtcp_twisted.tcp.sackblocks cimport sack_evicted
from xtcp_twisted.wire.sequence cimport seq_gt, seq_le, seq_lt, seq_min

cdef enum:
    ROUNDING = 8               # chunks


cdef uint32_t _quota_chunks(const conn_t *c) noexcept nogil:
    cdef uint32_t share = slab_free_rows(&c.p.chunks) // 64 * c.g.weight
    return share if share > c.g.guaranteed else c.g.guaranteed


cdef uint32_t receive_quota(const conn_t *c) noexcept nogil:
    return _quota_chunks(c) * CHUNK_BYTES


cdef uint32_t _chunks_left(const conn_t *c) noexcept nogil:
    cdef uint32_t quota = _quota_chunks(c), held = c.a.rx_chunks if c.a != NULL else 0
    cdef uint32_t left = quota - held if quota > held else 0
    cdef uint32_t free = slab_free_rows(&c.p.chunks)
    return left if left < free else free


cdef uint32_t _promised_left(const conn_t *c) noexcept nogil:
    """Chunks for in-order bytes: a window that was shown is kept, though the share has shrunk since.

    What was shown never exceeds the share of an empty pool by more than the rounding of scaled
    windows, for which ROUNDING more are allowed.
    """
    cdef uint32_t most = c.p.chunks.capacity // 64 * c.g.weight, held = c.a.rx_chunks
    cdef uint32_t left, free = slab_free_rows(&c.p.chunks)
    most = ROUNDING + (most if most > c.g.guaranteed else c.g.guaranteed)
    left = most - held if most > held else 0
    return left if left < free else free


cdef uint32_t receive_room(const conn_t *c) noexcept nogil:
    cdef uint32_t room = _chunks_left(c) * CHUNK_BYTES
    cdef const chunk_t *tail
    if c.a != NULL and c.a.rx_tail != NONE:
        tail = chunk_at(c.p, c.a.rx_tail)
        room += CHUNK_BYTES - tail.start - tail.length
    return room


cdef uint32_t _new_chunk(conn_t *c, uint32_t seq, uint32_t left) noexcept nogil:
    cdef uint32_t row
    if left == 0:
        return NONE
    row = slab_take_raw(&c.p.chunks, sizeof(chunk_t))
    if row == NONE:
        return NONE
    c.a.rx_chunks += 1
    c.g.held += sizeof(chunk_t)
    cdef chunk_t *chunk = chunk_at(c.p, row)
    chunk.next = NONE
    chunk.seq = seq
    chunk.start = 0
    chunk.length = 0
    return row


cdef void _free_chunk(conn_t *c, uint32_t row) noexcept nogil:
    slab_return(&c.p.chunks, row)
    c.a.rx_chunks -= 1
    c.g.held -= sizeof(chunk_t)


cdef void _note_use(const conn_t *c) noexcept nogil:
    """After each batch of chunks: the pool's pressure."""
    pressure_update(&c.p.pressure, c.p.chunks.used, c.s.now_us)


cdef uint32_t _fill(chunk_t *chunk, const uint8_t *data, uint32_t length) noexcept nogil:
    """Appends what fits into one chunk."""
    cdef uint32_t room = CHUNK_BYTES - chunk.start - chunk.length
    if length > room:
        length = room
    copy_piece(chunk.data + chunk.start + chunk.length, data, length)
    chunk.length += <uint16_t>length
    return length


cdef bint _evict(conn_t *c) noexcept nogil:
    """Gives up the furthest out-of-order chunk, so that in-order data finds room."""
    cdef uint32_t at = c.a.ooo_head, before = NONE
    if at == NONE:
        return False
    while chunk_at(c.p, at).next != NONE:
        before = at
        at = chunk_at(c.p, at).next
    if before == NONE:
        c.a.ooo_head = NONE
    else:
        chunk_at(c.p, before).next = NONE
    sack_evicted(c, chunk_at(c.p, at).seq)
    _free_chunk(c, at)
    return True


cdef uint32_t _append(conn_t *c, uint32_t seq, const uint8_t *data, uint32_t length) noexcept nogil:
    """Bytes behind the in-order chain; returns how many found room."""
    cdef uint32_t kept = 0, row, left = _promised_left(c)
    if c.a.rx_tail != NONE:
        kept = _fill(chunk_at(c.p, c.a.rx_tail), data, length)
    while kept < length:
        row = _new_chunk(c, seq + kept, left)
        if row == NONE:
            if _evict(c):
                left = _promised_left(c)
                continue
            break
        left -= 1
        if c.a.rx_tail == NONE:
            c.a.rx_head = row
        else:
            chunk_at(c.p, c.a.rx_tail).next = row
        c.a.rx_tail = row
        kept += _fill(chunk_at(c.p, row), data + kept, length - kept)
    return kept


cdef uint32_t _insert(
    conn_t *c, uint32_t *before, uint32_t after, uint32_t seq, const uint8_t *data, uint32_t length
) noexcept nogil:
    """Bytes between two chunks of the sorted chain; `before` becomes the last one filled."""
    cdef uint32_t kept = 0, row
    cdef chunk_t *chunk
    if before[0] != NONE:
        chunk = chunk_at(c.p, before[0])
        if chunk.seq + chunk.length == seq:
            kept = _fill(chunk, data, length)
    while kept < length:
        row = _new_chunk(c, seq + kept, _chunks_left(c))
        if row == NONE:
            break
        kept += _fill(chunk_at(c.p, row), data + kept, length - kept)
        chunk_at(c.p, row).next = after
        if before[0] == NONE:
            c.a.ooo_head = row
        else:
            chunk_at(c.p, before[0]).next = row
        before[0] = row
    return kept


cdef void _note_twice(overlap_t *twice, uint32_t start, uint32_t end) noexcept nogil:
    """The first run; chunks that touch make one."""
    if twice.start == twice.end:
        twice.start = start
    if twice.start == start or twice.end == start:
        twice.end = end


cdef uint32_t receive_keep(
    conn_t *c, uint32_t seq, const uint8_t *data, uint32_t length, uint32_t *reached, overlap_t *twice
) noexcept nogil:
    cdef uint32_t end = seq + length, before = NONE, at, until, kept, total = 0
    cdef chunk_t *chunk
    conn_lease(c)
    twice[0] = overlap_t(0, 0)
    at = c.a.ooo_head
    while seq_lt(seq, end):
        # The first chunk that ends behind `seq`, and the one before it.
        while at != NONE and seq_le(chunk_at(c.p, at).seq + chunk_at(c.p, at).length, seq):
            before = at
            at = chunk_at(c.p, at).next
        until = end
        if at != NONE:
            chunk = chunk_at(c.p, at)
            if seq_le(chunk.seq, seq):
                _note_twice(twice, seq, seq_min(end, chunk.seq + chunk.length))
                data += chunk.seq + chunk.length - seq
                seq = chunk.seq + chunk.length
                continue
            until = seq_min(end, chunk.seq)
        kept = _insert(c, &before, at, seq, data, until - seq)
        total += kept
        if kept < until - seq:
            seq += kept
            break
        data += kept
        seq = until
    reached[0] = seq_min(seq, end)
    _note_use(c)
    return total


cdef void _attach(conn_t *c, uint32_t row) noexcept nogil:
    """A chunk behind the in-order chain; a small one is copied into the free end of the last."""
    cdef chunk_t *chunk = chunk_at(c.p, row)
    cdef chunk_t *tail
    chunk.next = NONE
    if c.a.rx_tail == NONE:
        c.a.rx_head = c.a.rx_tail = row
        return
    tail = chunk_at(c.p, c.a.rx_tail)
    if tail.start + tail.length + chunk.length <= CHUNK_BYTES:
        _fill(tail, chunk.data + chunk.start, chunk.length)
        _free_chunk(c, row)
        return
    tail.next = row
    c.a.rx_tail = row


cdef uint32_t _join(conn_t *c, uint32_t rcv_nxt) noexcept nogil:
    """Moves what has become contiguous with `rcv_nxt` into the queue; returns the new rcv_nxt."""
    cdef uint32_t row, cut
    cdef chunk_t *chunk
    while c.a.ooo_head != NONE:
        row = c.a.ooo_head
        chunk = chunk_at(c.p, row)
        if seq_gt(chunk.seq, rcv_nxt):
            break
        c.a.ooo_head = chunk.next
        if seq_le(chunk.seq + chunk.length, rcv_nxt):
            _free_chunk(c, row)
            continue
        cut = rcv_nxt - chunk.seq
        chunk.start += <uint16_t>cut
        chunk.length -= <uint16_t>cut
        chunk.seq = rcv_nxt
        rcv_nxt += chunk.length
        _attach(c, row)
    return rcv_nxt


cdef uint32_t receive_append(
    conn_t *c, uint32_t rcv_nxt, const uint8_t *data, uint32_t length, bint *whole, overlap_t *twice
) noexcept nogil:
    cdef uint32_t end = rcv_nxt + length, until, kept, joined
    conn_lease(c)
    whole[0] = True
    twice[0] = overlap_t(0, 0)
    while seq_lt(rcv_nxt, end):
        # Bytes that are held already came first, and stay.
        until = end
        if c.a.ooo_head != NONE:
            until = seq_min(end, chunk_at(c.p, c.a.ooo_head).seq)
        kept = _append(c, rcv_nxt, data, until - rcv_nxt)
        if kept < until - rcv_nxt:
            whole[0] = False
            rcv_nxt += kept
            break
        joined = _join(c, until)
        if until != end and joined != until:
            _note_twice(twice, until, seq_min(end, joined))
        data += joined - rcv_nxt
        rcv_nxt = joined
    _note_use(c)
    return rcv_nxt


cdef uint32_t receive_copy(const conn_t *c, uint32_t skip, uint8_t *out, uint32_t size) noexcept nogil:
    cdef uint32_t row = c.a.rx_head, done = 0, n
    cdef const chunk_t *chunk
    while row != NONE and done < size:
        chunk = chunk_at(c.p, row)
        row = chunk.next
        if skip >= chunk.length:
            skip -= chunk.length
            continue
        n = chunk.length - skip
        if n > size - done:
            n = size - done
        memcpy(out + done, chunk.data + chunk.start + skip, n)
        done += n
        skip = 0
    return done


cdef void _drop_whole(conn_t *c) noexcept nogil:
    """All chunks are of the in-order chain, and it goes: in one piece, without a look at those between."""
    slab_return_chain(&c.p.chunks, c.a.rx_head, c.a.rx_tail, c.a.rx_chunks)
    c.g.held -= <uint64_t>c.a.rx_chunks * sizeof(chunk_t)
    c.a.rx_chunks = 0
    c.a.rx_head = c.a.rx_tail = NONE


cdef void receive_drop(conn_t *c, uint32_t length) noexcept nogil:
    cdef uint32_t row
    cdef chunk_t *chunk
    if length:
        c.p.pressure.eased_us = c.s.now_us
    if length and c.a.rx_head != NONE and c.a.ooo_head == NONE:
        if c.r.rcv_nxt - c.r.rcv_ackd == (c.r.flags & RECORD_FIN_RECEIVED != 0):
            _drop_whole(c)
            length = 0
    while length and c.a.rx_head != NONE:
        row = c.a.rx_head
        chunk = chunk_at(c.p, row)
        if chunk.length > length:
            chunk.start += <uint16_t>length
            chunk.length -= <uint16_t>length
            chunk.seq += length
            break
        length -= chunk.length
        c.a.rx_head = chunk.next
        if c.a.rx_head == NONE:
            c.a.rx_tail = NONE
        _free_chunk(c, row)
    _note_use(c)


cdef void _free_chain(conn_t *c, uint32_t row) noexcept nogil:
    cdef uint32_t following
    while row != NONE:
        following = chunk_at(c.p, row).next
        _free_chunk(c, row)
        row = following


cdef void receive_clear(conn_t *c) noexcept nogil:
    if c.a == NULL:
        return
    _free_chain(c, c.a.rx_head)
    _free_chain(c, c.a.ooo_head)
    c.a.rx_head = c.a.rx_tail = c.a.ooo_head = NONE
    _note_use(c)


cdef uint32_t receive_out_of_order(const conn_t *c) noexcept nogil:
    cdef uint32_t row, total = 0
    if c.a == NULL:
        return 0
    row = c.a.ooo_head
    while row != NONE:
        total += chunk_at(c.p, row).length
        row = chunk_at(c.p, row).next
    return total
