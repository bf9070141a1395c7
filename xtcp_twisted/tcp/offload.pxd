"""Segmentation and checksums left to the link (virtio; RFC 9293 section 3.7 leaves where it happens open)."""

from libc.stdint cimport uint16_t, uint32_t

from xtcp_twisted.link.base cimport frame_t
from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.wire.segment cimport segment_t


# Payload of the next frame: `size`, a full segment, or several whole ones.  Of `most` bytes that are queued
# and lie in the peer's window, `room` fit the congestion window, at least one segment.
cdef uint32_t offload_length(const conn_t *c, uint32_t size, uint32_t most, uint32_t room) noexcept nogil
# Segments of at most `size` that `length` bytes make on the wire; without payload it is one, too.
cdef uint32_t offload_segments(uint32_t length, uint32_t size) noexcept nogil
# Writes the headers before `fields.length` bytes in the frame, and what the link is to do with it.
cdef void offload_write(frame_t *frame, const segment_t *fields, uint32_t size) noexcept nogil
# Segments of the wire that were merged into `seg`, which came in this frame.
cdef uint16_t offload_merged(const frame_t *frame, const segment_t *seg) noexcept nogil
# Offset of the field that holds a partial checksum; 0: it is to be verified, 1: it was.
cdef uint32_t offload_vouched(const frame_t *frame) noexcept nogil
