"""The header that stands before each packet on a link with offload (virtio 1.2 section 5.1.6)."""

from libc.stdint cimport uint8_t

from xtcp_twisted.link.base cimport frame_t

cdef enum:
    VIRTIO_BYTES = 10


# Takes the header of a frame whose `data` and `length` are known; False: it contradicts itself, or asks
# for what was not agreed.
cdef bint virtio_read(const uint8_t *header, frame_t *frame) noexcept nogil
cdef void virtio_write(uint8_t *header, const frame_t *frame) noexcept nogil
