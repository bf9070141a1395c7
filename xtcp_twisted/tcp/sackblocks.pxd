"""What the peer is told of data behind gaps and of duplicates (RFC 2018 section 4, RFC 2883 section 4)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.wire.segment cimport segment_t


# Everything from `start` to `end` is held behind a gap; a segment of it has just arrived.
cdef void sack_keep(conn_t *c, uint32_t start, uint32_t end) noexcept nogil
# rcv_nxt has moved: what lies before it is no block any more.
cdef void sack_advance(conn_t *c) noexcept nogil
# Nothing from `start` on is held behind a gap any more.
cdef void sack_evicted(conn_t *c, uint32_t start) noexcept nogil
# These bytes came again: a D-SACK block is due.
cdef void sack_duplicate(conn_t *c, uint32_t start, uint32_t end) noexcept nogil
# Bytes of the options area that the blocks take in the next segment.
cdef uint32_t sack_length(const conn_t *c) noexcept nogil
# Puts the blocks into a segment whose other options are known; a D-SACK block is told once.
cdef void sack_fill(conn_t *c, segment_t *fields) noexcept nogil
