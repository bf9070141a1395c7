"""SipHash (Aumasson and Bernstein, 2012), little endian."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #ifndef XTCP_LE64
    #define XTCP_LE64
    #include <endian.h>
    static inline uint64_t xtcp_le64(uint64_t v) { return le64toh(v); }
    #endif
    """
    uint64_t xtcp_le64(uint64_t value) noexcept nogil

cdef struct sip_t:
    uint64_t a
    uint64_t b
    uint64_t c
    uint64_t d


cdef inline uint64_t sip_rotate(uint64_t value, int bits) noexcept nogil:
    return (value << bits) | (value >> (64 - bits))


cdef inline void sip_round(sip_t *v) noexcept nogil:
    v.a += v.b
    v.b = sip_rotate(v.b, 13) ^ v.a
    v.a = sip_rotate(v.a, 32)
    v.c += v.d
    v.d = sip_rotate(v.d, 16) ^ v.c
    v.a += v.d
    v.d = sip_rotate(v.d, 21) ^ v.a
    v.c += v.b
    v.b = sip_rotate(v.b, 17) ^ v.c
    v.c = sip_rotate(v.c, 32)


cdef inline void sip_absorb(sip_t *v, uint64_t word, int rounds) noexcept nogil:
    cdef int _
    v.d ^= word
    for _ in range(rounds):
        sip_round(v)
    v.a ^= word


cdef inline uint64_t siphash_rounds(
    const uint64_t *key, const uint8_t *data, uint32_t length, int rounds, int final_rounds
) noexcept nogil:
    cdef sip_t v
    cdef uint64_t word, last = <uint64_t>length << 56
    cdef uint32_t i
    cdef int _
    v.a = key[0] ^ 0x736F6D6570736575U
    v.b = key[1] ^ 0x646F72616E646F6DU
    v.c = key[0] ^ 0x6C7967656E657261U
    v.d = key[1] ^ 0x7465646279746573U
    for i in range(length // 8):
        memcpy(&word, data + 8 * i, 8)
        sip_absorb(&v, xtcp_le64(word), rounds)
    for i in range(length % 8):
        last |= <uint64_t>data[length - length % 8 + i] << (8 * i)
    sip_absorb(&v, last, rounds)
    v.c ^= 0xFF
    for _ in range(final_rounds):
        sip_round(&v)
    return v.a ^ v.b ^ v.c ^ v.d


cdef inline uint64_t siphash_1_3(const uint64_t *key, const uint8_t *data, uint32_t length) noexcept nogil:
    """SipHash-1-3 of `length` bytes: for the index, where speed counts and the output stays inside."""
    return siphash_rounds(key, data, length, 1, 3)


# SipHash-2-4: for what peers see (sequence numbers, timestamps).
cdef uint64_t siphash_2_4(const uint64_t *key, const uint8_t *data, uint32_t length) noexcept nogil
