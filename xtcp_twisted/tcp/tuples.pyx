"""Identity of connections: the index over 4-tuples, local addresses, what is derived from both.

Each use of a 4-tuple has a key of its own: the index (SipHash-1-3, never seen
outside), sequence numbers (RFC 6528) and timestamp offsets (RFC 7323 section
5.4), both SipHash-2-4.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

from xtcp_twisted.memory.index cimport VACANT, __builtin_prefetch, index_insert, index_next, index_remove
from xtcp_twisted.memory.siphash cimport siphash_1_3, siphash_2_4
from xtcp_twisted.memory.slab cimport NONE, slab_return, slab_take
from xtcp_twisted.tcp.groups cimport MAX_GROUPS, group_covers
from xtcp_twisted.tcp.flags cimport REFERENCE_HALF_OPEN, REFERENCE_RECORD, REFERENCE_ROW, REFERENCE_SHIFT
from xtcp_twisted.tcp.layout cimport (
    active_at,
    extent_at,
    half_open_at,
    half_open_t,
    local_at,
    local_row_t,
    payload_at,
    record_at,
    time_wait_t,
)

cdef enum:
    CACHE_LINE = 64


cdef uint32_t tuple_tag(const stack_t *s, const segment_t *seg) noexcept nogil:
    cdef uint8_t key[TUPLE_BYTES]
    tuple_bytes(seg, key)
    return <uint32_t>siphash_1_3(s.keys.index, key, TUPLE_BYTES)


cdef uint32_t initial_sequence(const stack_t *s, const segment_t *seg) noexcept nogil:
    cdef uint8_t key[TUPLE_BYTES]
    tuple_bytes(seg, key)
    # RFC 6528 section 3: ISN = M + F(...), M a 4 microsecond clock.
    return <uint32_t>(s.now_us // 4) + <uint32_t>siphash_2_4(s.keys.isn, key, TUPLE_BYTES)


cdef uint32_t timestamp_offset(const stack_t *s, const segment_t *seg) noexcept nogil:
    cdef uint8_t key[TUPLE_BYTES]
    tuple_bytes(seg, key)
    return <uint32_t>siphash_2_4(s.keys.timestamps, key, TUPLE_BYTES)


cdef inline bint _same(
    const stack_t *s,
    const segment_t *seg,
    const uint8_t *remote,
    unsigned int remote_port,
    unsigned int local_port,
    uint32_t local_row,
) noexcept nogil:
    return (
        remote_port == seg.remote_port
        and local_port == seg.local_port
        and memcmp(remote, seg.remote, 16) == 0
        and memcmp(local_at(s, local_row).address, seg.local, 16) == 0
    )


cdef uint32_t tuple_find(const stack_t *s, const segment_t *seg, uint32_t tag) noexcept nogil:
    cdef uint32_t at = tag, reference, row
    cdef record_t *r
    cdef half_open_t *h
    cdef time_wait_t *w
    while True:
        reference = index_next(&s.index, tag, &at)
        if reference == VACANT:
            return VACANT
        row = reference & REFERENCE_ROW
        if reference >> REFERENCE_SHIFT == REFERENCE_RECORD:
            r = record_at(s, row)
            if _same(s, seg, r.remote, r.remote_port, r.local_port, r.local_row):
                return reference
        elif reference >> REFERENCE_SHIFT == REFERENCE_HALF_OPEN:
            h = half_open_at(s, row)
            if _same(s, seg, h.remote, h.remote_port, h.local_port, h.local_row):
                return reference
        else:
            w = &s.time_waits[row]
            if _same(s, seg, w.remote, w.remote_port, w.local_port, w.local_row):
                return reference
        at += 1


cdef inline void _prefetch(const void *row) noexcept nogil:
    """A row of two cache lines."""
    __builtin_prefetch(row)
    __builtin_prefetch(<const char *>row + CACHE_LINE)


cdef const record_t *tuple_prefetch(const stack_t *s, uint32_t tag) noexcept nogil:
    cdef uint32_t at = tag, reference = index_next(&s.index, tag, &at)
    cdef const record_t *r
    if reference == VACANT or reference >> REFERENCE_SHIFT != REFERENCE_RECORD:
        return NULL
    r = record_at(s, reference & REFERENCE_ROW)
    _prefetch(r)
    return r


cdef const active_t *tuple_prefetch_active(const stack_t *s, const record_t *r) noexcept nogil:
    cdef const active_t *a
    if r.active == NONE:
        return NULL
    a = active_at(s, r.active)
    _prefetch(a)
    return a


cdef const extent_t *tuple_prefetch_sent(const stack_t *s, const active_t *a) noexcept nogil:
    cdef const extent_t *sent
    if a.tx_head == NONE:
        return NULL
    sent = extent_at(s, a.tx_head)
    __builtin_prefetch(sent)
    return sent


cdef void tuple_prefetch_payload(const stack_t *s, const extent_t *sent) noexcept nogil:
    __builtin_prefetch(payload_at(s, sent.payload))


cdef uint32_t local_hold(stack_t *s, const uint8_t *address) noexcept nogil:
    cdef uint32_t tag = <uint32_t>siphash_1_3(s.keys.index, address, 16), at = tag, row
    cdef local_row_t *local
    while True:
        row = index_next(&s.local_index, tag, &at)
        if row == VACANT:
            break
        if memcmp(local_at(s, row).address, address, 16) == 0:
            local_at(s, row).references += 1
            return row
        at += 1
    row = slab_take(&s.locals)
    if row == NONE:
        return NONE
    local = local_at(s, row)
    memcpy(local.address, address, 16)
    local.references = 1
    local.tag = tag
    index_insert(&s.local_index, tag, row)
    return row


cdef void local_drop(stack_t *s, uint32_t row) noexcept nogil:
    cdef local_row_t *local = local_at(s, row)
    local.references -= 1
    if local.references == 0:
        index_remove(&s.local_index, local.tag, row)
        slab_return(&s.locals, row)


cdef uint32_t listener_of(const stack_t *s, const segment_t *seg) noexcept nogil:
    cdef uint32_t row = s.listeners[seg.local_port]
    while row != MAX_GROUPS and not group_covers(&s.groups[row], seg.local):
        row = s.groups[row].next_on_port
    return row
