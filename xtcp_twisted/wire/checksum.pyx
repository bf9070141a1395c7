"""The Internet checksum (RFC 1071).

The sum is kept in 64 bits, in network order of 16-bit words, so that the
pieces of a packet (pseudo header, header, payload chunks) are added one by one
and folded once.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <endian.h>
    static inline uint32_t xtcp_be16(uint16_t v) { return be16toh(v); }
    """
    uint32_t xtcp_be16(uint16_t value) noexcept nogil

cdef enum:
    WIDE = 16                  # bytes that are added at once


cdef uint64_t _wide_sum(const uint8_t *data, uint32_t length) noexcept nogil:
    """Of a multiple of WIDE bytes, folded to 16 bits, in network order.

    Words of any width and of either byte order add up to the same folded sum, but for the order of
    its two bytes (RFC 1071 section 2 (B)), so the machine's own are added, carries aside.
    """
    cdef uint64_t even = 0, odd = 0, carries = 0, first, second, total
    while length:
        memcpy(&first, data, 8)
        memcpy(&second, data + 8, 8)
        even += first
        odd += second
        carries += (even < first) + (odd < second)
        data += WIDE
        length -= WIDE
    total = (even & 0xFFFFFFFFU) + (even >> 32) + (odd & 0xFFFFFFFFU) + (odd >> 32) + carries
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return xtcp_be16(<uint16_t>total)


cdef uint64_t checksum_add(const uint8_t *data, uint32_t length, uint64_t sum) noexcept nogil:
    cdef uint32_t wide = length & ~<uint32_t>(WIDE - 1)
    if wide:
        sum += _wide_sum(data, wide)
        data += wide
        length -= wide
    while length >= 2:
        sum += (<uint32_t>data[0] << 8) | data[1]
        data += 2
        length -= 2
    if length:
        sum += <uint32_t>data[0] << 8
    return sum
