"""Cookies of TCP Fast Open; see fastcookies.pxd.

A cookie is SipHash-2-4 of both addresses, 8 bytes, under a key that is used for
nothing else.  Ports are not in it, because clients keep one cookie for a server
and use it for all of its ports, as Linux does.  So a cookie proves that
whoever brings it has once received a packet of ours at this address, and it takes
no memory.

The keys come from a seed, or from the application (servers behind one address
have to share them).  A new key begins after a lifetime (section 5.1: an attacker
who has collected cookies is to lose them), and the one before is taken for
another: whoever brings a cookie of that gets a new one and loses nothing.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from xtcp_twisted.memory.siphash cimport siphash_2_4
from xtcp_twisted.tcp.fastopens cimport COOKIE_BYTES, fast_opens_t

cdef enum:
    ADDRESSES = 32             # bytes of both


cdef void _install(stack_t *s, const uint64_t *key) noexcept nogil:
    cdef fast_opens_t *f = &s.fast_opens
    memcpy(f.keys[1], f.keys[0], sizeof(f.keys[0]))
    memcpy(f.keys[0], key, sizeof(f.keys[0]))
    f.rotate_at_us = s.now_us + f.lifetime_us


cdef void fast_key_rotate(stack_t *s) noexcept nogil:
    cdef uint64_t message[2]
    cdef uint64_t key[2]
    cdef uint64_t half
    s.fast_opens.rotations += 1
    message[0] = s.fast_opens.rotations
    for half in range(2):
        message[1] = half
        key[half] = siphash_2_4(s.keys.fast_open, <const uint8_t *>message, sizeof(message))
    _install(s, key)


cdef void fast_key_set(stack_t *s, const uint8_t *key) noexcept nogil:
    cdef uint64_t words[2]
    cdef int half, i
    for half in range(2):
        words[half] = 0
        for i in range(8):
            words[half] |= <uint64_t>key[8 * half + i] << (8 * i)
    if words[0] != s.fast_opens.keys[0][0] or words[1] != s.fast_opens.keys[0][1]:
        _install(s, words)


cdef void _age(stack_t *s) noexcept nogil:
    """Rotates the keys when their time is over; after two lifetimes none of them is known to anybody."""
    cdef const fast_opens_t *f = &s.fast_opens
    if f.lifetime_us == 0 or s.now_us < f.rotate_at_us:
        return
    if s.now_us - f.rotate_at_us >= f.lifetime_us:
        fast_key_rotate(s)
    fast_key_rotate(s)


cdef uint64_t _hash(const uint64_t *key, const segment_t *seg) noexcept nogil:
    cdef uint8_t message[ADDRESSES]
    memcpy(message, seg.remote, 16)
    memcpy(message + 16, seg.local, 16)
    return siphash_2_4(key, message, ADDRESSES)


cdef void fast_cookie(stack_t *s, const segment_t *seg, uint8_t *cookie) noexcept nogil:
    cdef uint64_t value
    cdef int i
    _age(s)
    value = _hash(s.fast_opens.keys[0], seg)
    for i in range(COOKIE_BYTES):
        cookie[i] = <uint8_t>(value >> (8 * i))


cdef int fast_cookie_key(stack_t *s, const segment_t *seg) noexcept nogil:
    cdef uint64_t value = 0
    cdef int i
    if seg.cookie_length != COOKIE_BYTES:
        return -1
    _age(s)
    for i in range(COOKIE_BYTES):
        value |= <uint64_t>seg.cookie[i] << (8 * i)
    for i in range(2):
        if _hash(s.fast_opens.keys[i], seg) == value:
            return i
    return -1
