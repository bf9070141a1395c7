"""The Internet checksum (RFC 1071).

The sum is kept in 64 bits, in network order of 16-bit words, so that the
pieces of a packet (pseudo header, header, payload) are added one by one
and folded once.

Words of either byte order add up to the same folded sum, but for the order of
its two bytes (RFC 1071 section 2 (B)), so a piece is summed in the machine's own
order, eight words of 32 bits at a time, whose halves are added up apart: no
carry is lost, and none has to be looked for.  Every compiler makes vector
instructions of that; a processor with AVX2 does the eight at once.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <endian.h>
    #include <string.h>

    /* Which clone runs is settled when the module is loaded; not every C library can do that. */
    #if defined(__x86_64__) && defined(__GLIBC__)
    #define XTCP_CLONES __attribute__((target_clones("avx2", "default")))
    #else
    #define XTCP_CLONES
    #endif

    typedef uint32_t xtcp_words __attribute__((vector_size(32)));

    /* `blocks` of 32 bytes; the halves of a word hold the sums of 65,536 of them. */
    XTCP_CLONES static uint64_t xtcp_sum_blocks(const uint8_t *data, uint32_t blocks)
    {
        xtcp_words low = {0}, high = {0}, words;
        uint64_t total = 0;
        for (; blocks; blocks--, data += sizeof words) {
            memcpy(&words, data, sizeof words);
            low += words & 0xFFFF;
            high += words >> 16;
        }
        for (int i = 0; i < 8; i++)
            total += (uint64_t)low[i] + high[i];
        return total;
    }

    static inline uint32_t xtcp_be16(uint16_t v) { return be16toh(v); }
    """
    uint64_t xtcp_sum_blocks(const uint8_t *data, uint32_t blocks) noexcept nogil
    uint32_t xtcp_be16(uint16_t value) noexcept nogil

cdef enum:
    BLOCK = 32                 # bytes that are added at once
    MOST_BLOCKS = 65_536       # in one go


cdef uint64_t _sum_words(const uint8_t *data, uint32_t length) noexcept nogil:
    """Less than a block, in the machine's order."""
    cdef uint64_t total = 0, words
    cdef uint32_t word
    cdef uint16_t last
    while length >= 8:
        memcpy(&words, data, 8)
        total += <uint32_t>words + (words >> 32)
        data += 8
        length -= 8
    if length >= 4:
        memcpy(&word, data, 4)
        total += word
        data += 4
        length -= 4
    if length >= 2:
        memcpy(&last, data, 2)
        total += last
        data += 2
        length -= 2
    if length:
        last = 0
        memcpy(&last, data, 1)
        total += last
    return total


cdef uint64_t checksum_add(const uint8_t *data, uint32_t length, uint64_t sum) noexcept nogil:
    cdef uint64_t total = 0
    cdef uint32_t blocks
    while length >= BLOCK:
        blocks = min(length // BLOCK, <uint32_t>MOST_BLOCKS)
        total += xtcp_sum_blocks(data, blocks)
        data += blocks * BLOCK
        length -= blocks * BLOCK
    total += _sum_words(data, length)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return sum + xtcp_be16(<uint16_t>total)
