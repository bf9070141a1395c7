"""What the peer holds, what is lost and what is in flight (RFC 2018 section 5, RFC 6675 section 4)."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.disorder cimport delivery_t, recovery_t
from xtcp_twisted.wire.segment cimport segment_t


# RFC 6675 section 4, SetPipe: bytes believed to be in the network.
cdef uint32_t scoreboard_pipe(const conn_t *c) noexcept nogil
# Takes the SACK blocks of an acknowledgement that has been found valid.
cdef void scoreboard_sack(conn_t *c, const segment_t *seg, delivery_t *d) noexcept nogil
# RFC 6675 section 4, NextSeg rule 1: the first extent to be sent again, or NONE.
cdef uint32_t scoreboard_next(const conn_t *c, recovery_t *x) noexcept nogil
# Bytes from extent `row` on, at most `most`, that are all to be sent again.
cdef uint32_t scoreboard_run(const conn_t *c, uint32_t row, uint32_t most) noexcept nogil
# The last extent that was sent; NONE: only a FIN is in flight.
cdef uint32_t scoreboard_last(const conn_t *c) noexcept nogil
# Marks one segment from SND.UNA on as lost; false: it is being sent again already.
cdef bint scoreboard_lose_first(conn_t *c, recovery_t *x) noexcept nogil
# Marks everything in flight that the peer does not hold.
cdef void scoreboard_lose_all(conn_t *c, recovery_t *x) noexcept nogil
# Nothing is lost: marks of what was not sent again are taken back.
cdef void scoreboard_find(conn_t *c, recovery_t *x) noexcept nogil
# The peer has given up what it reported (RFC 2018 section 8): its blocks are forgotten.
cdef void scoreboard_renege(conn_t *c, recovery_t *x) noexcept nogil
