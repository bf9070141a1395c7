"""A request that comes again (architecture section 6; P22, the patent's Fig. 5c and 6e)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.wire.segment cimport segment_t


# A segment whose bytes had all arrived before, after PAWS and RFC 5961 let it pass and its ACK field was
# taken in; `expected` is SND.UNA as of before.
cdef void replay_duplicate(conn_t *c, const segment_t *seg, uint32_t expected) noexcept nogil
