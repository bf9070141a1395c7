"""SipHash (Aumasson and Bernstein, 2012), little endian, with 1-3 and 2-4 rounds; see siphash.pxd."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef uint64_t siphash_2_4(const uint64_t *key, const uint8_t *data, uint32_t length) noexcept nogil:
    return siphash_rounds(key, data, length, 2, 4)


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
