"""Who is who: 4-tuples and local addresses, found through keyed indices."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from xtcp_twisted.tcp.layout cimport active_t, extent_t, record_t, stack_t
from xtcp_twisted.wire.segment cimport segment_t

cdef enum:
    TUPLE_BYTES = 36


cdef inline void tuple_bytes(const segment_t *seg, uint8_t *out) noexcept nogil:
    """What is hashed of a segment: both addresses, both ports."""
    memcpy(out, seg.remote, 16)
    memcpy(out + 16, seg.local, 16)
    memcpy(out + 32, &seg.remote_port, 2)
    memcpy(out + 34, &seg.local_port, 2)


# The hash tag of a segment's 4-tuple, under the engine's key.
cdef uint32_t tuple_tag(const stack_t *s, const segment_t *seg) noexcept nogil
# The reference (layout.REFERENCE_*) of the 4-tuple, or VACANT.
cdef uint32_t tuple_find(const stack_t *s, const segment_t *seg, uint32_t tag) noexcept nogil
# The record that `tuple_find` will find unless another tuple has this tag, for which the processor is asked;
# the index slot must be there.  NULL: none.
cdef const record_t *tuple_prefetch(const stack_t *s, uint32_t tag) noexcept nogil
# And, once the record is there, its active block, likewise; NULL: none.
cdef const active_t *tuple_prefetch_active(const stack_t *s, const record_t *r) noexcept nogil
# And, once that is there, the oldest of what was sent, which the segment may acknowledge; NULL: none.
cdef const extent_t *tuple_prefetch_sent(const stack_t *s, const active_t *a) noexcept nogil
# And at last what it refers to, which is dropped then.
cdef void tuple_prefetch_payload(const stack_t *s, const extent_t *sent) noexcept nogil
# The row of a local address, with one more reference; NONE when the table is full.
cdef uint32_t local_hold(stack_t *s, const uint8_t *address) noexcept nogil
cdef void local_drop(stack_t *s, uint32_t row) noexcept nogil
# The group that listens for this segment's destination, or MAX_GROUPS.
cdef uint32_t listener_of(const stack_t *s, const segment_t *seg) noexcept nogil
# RFC 6528: the initial sequence number for a 4-tuple at this time.
cdef uint32_t initial_sequence(const stack_t *s, const segment_t *seg) noexcept nogil
# RFC 7323 section 5.4: the offset of a connection's timestamps.
cdef uint32_t timestamp_offset(const stack_t *s, const segment_t *seg) noexcept nogil
