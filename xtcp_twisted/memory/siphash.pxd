from libc.stdint cimport uint8_t, uint32_t, uint64_t


# SipHash-1-3 of `length` bytes: for the index, where speed counts and the output stays inside.
cdef uint64_t siphash_1_3(const uint64_t *key, const uint8_t *data, uint32_t length) noexcept nogil
# SipHash-2-4: for what peers see (sequence numbers, timestamps).
cdef uint64_t siphash_2_4(const uint64_t *key, const uint8_t *data, uint32_t length) noexcept nogil
