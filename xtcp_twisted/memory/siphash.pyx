"""SipHash (Aumasson and Bernstein, 2012), little endian, with 1-3 and 2-4 rounds."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <endian.h>
    static inline uint64_t xtcp_le64(uint64_t v) { return le64toh(v); }
    """
    uint64_t xtcp_le64(uint64_t value) noexcept nogil


cdef struct state_t:
    uint64_t a
    uint64_t b
    uint64_t c
    uint64_t d


cdef inline uint64_t _rotate(uint64_t value, int bits) noexcept nogil:
    return (value << bits) | (value >> (64 - bits))


cdef inline void _round(state_t *v) noexcept nogil:
    v.a += v.b
    v.b = _rotate(v.b, 13) ^ v.a
    v.a = _rotate(v.a, 32)
    v.c += v.d
    v.d = _rotate(v.d, 16) ^ v.c
    v.a += v.d
    v.d = _rotate(v.d, 21) ^ v.a
    v.c += v.b
    v.b = _rotate(v.b, 17) ^ v.c
    v.c = _rotate(v.c, 32)


cdef inline void _absorb(state_t *v, uint64_t word, int rounds) noexcept nogil:
    cdef int _
    v.d ^= word
    for _ in range(rounds):
        _round(v)
    v.a ^= word


cdef inline uint64_t _siphash(
    const uint64_t *key, const uint8_t *data, uint32_t length, int rounds, int final_rounds
) noexcept nogil:
    cdef state_t v
    cdef uint64_t word, last = <uint64_t>length << 56
    cdef uint32_t i
    cdef int _
    v.a = key[0] ^ 0x736F6D6570736575U
    v.b = key[1] ^ 0x646F72616E646F6DU
    v.c = key[0] ^ 0x6C7967656E657261U
    v.d = key[1] ^ 0x7465646279746573U
    for i in range(length // 8):
        memcpy(&word, data + 8 * i, 8)
        _absorb(&v, xtcp_le64(word), rounds)
    for i in range(length % 8):
        last |= <uint64_t>data[length - length % 8 + i] << (8 * i)
    _absorb(&v, last, rounds)
    v.c ^= 0xFF
    for _ in range(final_rounds):
        _round(&v)
    return v.a ^ v.b ^ v.c ^ v.d


cdef uint64_t siphash_1_3(const uint64_t *key, const uint8_t *data, uint32_t length) noexcept nogil:
    return _siphash(key, data, length, 1, 3)


cdef uint64_t siphash_2_4(const uint64_t *key, const uint8_t *data, uint32_t length) noexcept nogil:
    return _siphash(key, data, length, 2, 4)


cdef uint64_t _keyed(bytes key, bytes data, bint strong) except? 0:
    cdef uint64_t words[2]
    if len(key) != 16:
        raise ValueError(f"a SipHash key has 16 bytes, not {len(key)}")
    memcpy(words, <const char *>key, 16)
    words[0] = xtcp_le64(words[0])
    words[1] = xtcp_le64(words[1])
    if strong:
        return siphash_2_4(words, <const uint8_t *>data, <uint32_t>len(data))
    return siphash_1_3(words, <const uint8_t *>data, <uint32_t>len(data))


def siphash13(bytes key not None, bytes data not None):
    """SipHash-1-3 of `data` under a key of 16 bytes; a 64-bit integer."""
    return _keyed(key, data, False)


def siphash24(bytes key not None, bytes data not None):
    """SipHash-2-4 of `data` under a key of 16 bytes; a 64-bit integer."""
    return _keyed(key, data, True)
