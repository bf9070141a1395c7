"""Path MTU discovery (RFC 1191, RFC 8201) as far as a TCP needs it."""

from libc.stdint cimport uint32_t

from xtcp_twisted.tcp.connection cimport conn_t
from xtcp_twisted.tcp.layout cimport stack_t


# A believable packet-too-big about a packet of `size` bytes of this connection; `mtu` as it says, 0: it
# does not say.
cdef void pathmtu_too_big(conn_t *c, uint32_t size, uint32_t mtu) noexcept nogil
# The retransmission timer has expired; is it the size that does not come through?
cdef void pathmtu_timeout(conn_t *c) noexcept nogil
# A new record, its mss as agreed: to a destination that is known to be narrow it starts with less.
cdef void pathmtu_begin(stack_t *s, uint32_t slot) noexcept nogil
# Tries the full size again where the time has come; a bounded part of the work.
cdef void pathmtu_age(stack_t *s) noexcept nogil
# The group's bound of the MSS has changed: a lower one holds from the next segment on, as many segments
# as before may be in flight.
cdef void pathmtu_clamp(conn_t *c) noexcept nogil
