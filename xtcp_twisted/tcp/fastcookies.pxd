"""Cookies of TCP Fast Open: who asks from an address has been there before (RFC 7413 section 4.1.2)."""

from libc.stdint cimport uint8_t

from xtcp_twisted.tcp.layout cimport stack_t
from xtcp_twisted.wire.segment cimport segment_t


# The present cookie for the addresses of a segment: COOKIE_BYTES.
cdef void fast_cookie(stack_t *s, const segment_t *seg, uint8_t *cookie) noexcept nogil
# Which key has made the cookie that a SYN brings: 0 the present one, 1 the one before; -1: none.
cdef int fast_cookie_key(stack_t *s, const segment_t *seg) noexcept nogil
# A new key; the one that was the present one is taken until the next time.
cdef void fast_key_rotate(stack_t *s) noexcept nogil
# The same, with 16 bytes that others know, too; nothing changes when they are the present key.
cdef void fast_key_set(stack_t *s, const uint8_t *key) noexcept nogil
