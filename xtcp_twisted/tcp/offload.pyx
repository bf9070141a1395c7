"""Super-segments: several segments of one connection as one frame.

A link with offload (link/base.pxd) cuts what is longer than a segment, and completes
checksums; or nobody does, since the receiver is the kernel of this machine.

Out: a super-segment is several whole segments, so that the scoreboard, which has an
extent for each segment, need not know of them.  It takes at most half of the congestion
window: the peer acknowledges it as one, and with the whole window in one piece nothing
would be left to be sent meanwhile.

In: one segment that stands for several.  Where segments are counted (held
acknowledgements, duplicates, statistics) it counts as what it was made of.
"""

from libc.stdint cimport uint16_t, uint32_t

from xtcp_twisted.link.base cimport (
    CHECKSUM_PARTIAL,
    CHECKSUM_VALID,
    GSO_ECN,
    GSO_TCP4,
    GSO_TCP6,
    LARGEST_PACKET,
)
from xtcp_twisted.wire.segment cimport CWR, is_mapped
from xtcp_twisted.wire.tcp cimport TCP_CHECKSUM, VERIFIED, headers_length, write_headers_partial
from xtcp_twisted.wire.ip cimport ip_header_length

cdef enum:
    MOST_HEADERS = 100         # IPv6, TCP with all its options


cdef uint32_t offload_length(const conn_t *c, uint32_t size, uint32_t most, uint32_t room) noexcept nogil:
    if not c.s.limits.offload or most < 2 * size:
        return size
    most = min(most, min(room, c.r.cwnd // 2), <uint32_t>(LARGEST_PACKET - MOST_HEADERS))
    return most // size * size if most >= size else size


cdef uint32_t offload_segments(uint32_t length, uint32_t size) noexcept nogil:
    return (length + size - 1) // size if length > size else 1


cdef void offload_write(frame_t *frame, const segment_t *fields, uint32_t size) noexcept nogil:
    frame.length = write_headers_partial(frame.data, fields)
    frame.checksum_state = CHECKSUM_PARTIAL
    frame.checksum_start = <uint16_t>ip_header_length(fields.remote)
    frame.checksum_offset = TCP_CHECKSUM
    if fields.length > size:
        frame.gso_size = <uint16_t>size
        frame.gso_type = GSO_TCP4 if is_mapped(fields.remote) else GSO_TCP6
        if fields.flags & CWR:
            frame.gso_type |= GSO_ECN
        frame.headers = <uint16_t>headers_length(fields)


cdef uint16_t offload_merged(const frame_t *frame, const segment_t *seg) noexcept nogil:
    return <uint16_t>offload_segments(seg.length, frame.gso_size) if frame.gso_size else 1


cdef uint32_t offload_vouched(const frame_t *frame) noexcept nogil:
    if frame.checksum_state == CHECKSUM_PARTIAL:
        # That of something else says nothing of this segment.
        if frame.checksum_offset != TCP_CHECKSUM:
            return 0
        return <uint32_t>frame.checksum_start + TCP_CHECKSUM
    return VERIFIED if frame.checksum_state == CHECKSUM_VALID else 0
