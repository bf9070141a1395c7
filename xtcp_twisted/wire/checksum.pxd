"""The Internet checksum (RFC 1071), incremental over any number of pieces."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


# Adds `length` bytes to a running one's-complement sum.  Every piece but the last has an even length.
cdef uint64_t checksum_add(const uint8_t *data, uint32_t length, uint64_t sum) noexcept nogil


# The 16-bit checksum field for a running sum, in host order.
cdef inline uint16_t checksum_fold(uint64_t sum) noexcept nogil:
    while sum >> 16:
        sum = (sum & 0xFFFF) + (sum >> 16)
    return <uint16_t>(~sum & 0xFFFF)
