"""The Internet checksum (RFC 1071).

The sum is kept in 64 bits, in network order of 16-bit words, so that the
pieces of a packet (pseudo header, header, payload chunks) are added one by one
and folded once.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <endian.h>
    static inline uint32_t xtcp_be32(uint32_t v) { return be32toh(v); }
    """
    uint32_t xtcp_be32(uint32_t value) noexcept nogil


cdef uint64_t checksum_add(const uint8_t *data, uint32_t length, uint64_t sum) noexcept nogil:
    # Big-endian 32-bit words add up to the same folded sum as their halves.
    cdef uint32_t a, b
    while length >= 8:
        memcpy(&a, data, 4)
        memcpy(&b, data + 4, 4)
        sum += <uint64_t>xtcp_be32(a) + xtcp_be32(b)
        data += 8
        length -= 8
    while length >= 2:
        sum += (<uint32_t>data[0] << 8) | data[1]
        data += 2
        length -= 2
    if length:
        sum += <uint32_t>data[0] << 8
    return sum
