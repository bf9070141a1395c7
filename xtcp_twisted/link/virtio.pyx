"""The virtio header: whether the checksum is partial, and into which segments the packet is to be cut.

     0       1          2         4          6            8             10
     +-------+----------+---------+----------+------------+-------------+
     | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset |
     +-------+----------+---------+----------+------------+-------------+

The fields are in the byte order of this machine, as the TUN driver has them.
Whoever sends the header is not trusted (attacks: vnet_hdr): every offset must lie
in the packet, and a kind of segmentation that was not agreed is refused.
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy, memset

from xtcp_twisted.link.base cimport (
    CHECKSUM_PARTIAL,
    CHECKSUM_VALID,
    GSO_ECN,
    GSO_NONE,
    GSO_TCP4,
    GSO_TCP6,
    frame_plain,
)

cdef enum:
    # linux/virtio_net.h
    NEEDS_CSUM = 1
    DATA_VALID = 2
    GSO_TYPE = 1
    HDR_LEN = 2
    GSO_SIZE = 4
    CSUM_START = 6
    CSUM_OFFSET = 8


cdef inline uint16_t _get(const uint8_t *field) noexcept nogil:
    cdef uint16_t value
    memcpy(&value, field, 2)
    return value


cdef inline void _put(uint8_t *field, uint16_t value) noexcept nogil:
    memcpy(field, &value, 2)


cdef bint _read_segmentation(const uint8_t *header, frame_t *frame) noexcept nogil:
    cdef int kind = header[GSO_TYPE] & ~GSO_ECN
    cdef int version = frame.data[0] >> 4 if frame.length else 0
    if kind == GSO_NONE:
        return header[GSO_TYPE] == GSO_NONE
    if not (kind == GSO_TCP4 and version == 4 or kind == GSO_TCP6 and version == 6):
        return False
    frame.gso_type = header[GSO_TYPE]
    frame.gso_size = _get(header + GSO_SIZE)
    frame.headers = _get(header + HDR_LEN)
    return 0 < frame.gso_size < frame.length


cdef bint virtio_read(const uint8_t *header, frame_t *frame) noexcept nogil:
    frame_plain(frame)
    if _get(header + HDR_LEN) > frame.length or not _read_segmentation(header, frame):
        return False
    if header[0] & NEEDS_CSUM:
        frame.checksum_state = CHECKSUM_PARTIAL
        frame.checksum_start = _get(header + CSUM_START)
        frame.checksum_offset = _get(header + CSUM_OFFSET)
        return <int>frame.checksum_start + frame.checksum_offset + 2 <= <int>frame.length
    if header[0] & DATA_VALID:
        frame.checksum_state = CHECKSUM_VALID
    # Segments that were merged have no checksum of their own that could be verified.
    return frame.gso_size == 0 or frame.checksum_state == CHECKSUM_VALID


cdef void virtio_write(uint8_t *header, const frame_t *frame) noexcept nogil:
    memset(header, 0, VIRTIO_BYTES)
    if frame.checksum_state == CHECKSUM_PARTIAL:
        header[0] = NEEDS_CSUM
        _put(header + CSUM_START, frame.checksum_start)
        _put(header + CSUM_OFFSET, frame.checksum_offset)
    if frame.gso_size:
        header[GSO_TYPE] = frame.gso_type
        _put(header + GSO_SIZE, frame.gso_size)
        _put(header + HDR_LEN, frame.headers)
