"""What is known of paths narrower than our link: the tables of pathmtu.pyx."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef enum:
    PATHS = 1024               # destinations whose path is known to be narrow
    PATH_WAYS = 4              # places that one destination may take
    NARROWED = 4096            # connections whose segments are to grow again

# A destination behind a link that is narrower than ours (RFC 8201 section 5.2).
cdef struct path_t:
    uint8_t remote[16]
    uint32_t learned           # s
    uint16_t mtu               # 0: the place is free

# A connection whose segments became smaller than its peer allows.
cdef struct narrowed_t:
    uint32_t slot
    uint32_t generation
    uint32_t since             # s
    uint16_t mss               # as agreed in the handshake

cdef struct paths_t:
    path_t *rows               # PATHS, in sets of PATH_WAYS
    narrowed_t *narrowed       # ring of NARROWED, the oldest first
    uint32_t head
    uint32_t count
    bint known                 # some destination was ever narrow
