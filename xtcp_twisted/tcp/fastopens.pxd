"""The tables of TCP Fast Open (RFC 7413): the keys of our cookies, and what SYNs brought (fastopen.pyx)."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from xtcp_twisted.memory.slab cimport slab_t

cdef enum:
    COOKIE_BYTES = 8           # of a cookie of ours
    SYN_TEXTS = 1_024          # rows of SYN data
    SYN_TEXT_BYTES = 1_460     # of one row: what fits beside the headers into 1,500 bytes

# A request that waits for the application: what the entry of 64 bytes has no room for.
cdef struct syn_text_t:
    uint32_t free              # link of the free list
    uint16_t length
    uint16_t window            # of the SYN: never scaled
    uint8_t data[1460]

cdef struct fast_opens_t:
    uint64_t keys[2][2]        # of cookies: the present one, and the one before, which is still taken
    uint64_t rotations
    int64_t lifetime_us        # of a key; 0: until it is replaced by a call
    int64_t rotate_at_us
    slab_t texts               # syn_text_t
