"""What hardware does for a TCP: completing checksums, cutting super-segments into packets."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

# A super-segment that can be cut.
cdef struct cut_t:
    uint32_t tcp               # offset of the TCP header
    uint32_t headers           # bytes before the payload
    uint32_t size              # payload of each packet but the last
    uint32_t count             # packets


# Puts the checksum of everything from `start` on where its pseudo header's sum stands; both offsets are
# known to lie in the packet.
cdef void complete_checksum(uint8_t *data, uint32_t length, uint16_t start, uint16_t offset) noexcept nogil
# Fills `cut` for a packet that is to be cut into payloads of `size`; False: it is no TCP packet with any.
cdef bint cut_begin(const uint8_t *data, uint32_t length, uint32_t size, cut_t *cut) noexcept nogil
# Writes packet `k` of them to `out`, where cut.headers + cut.size bytes have room; returns its length.
cdef uint32_t cut_packet(
    const uint8_t *data, uint32_t length, const cut_t *cut, uint32_t k, uint8_t *out
) noexcept nogil
