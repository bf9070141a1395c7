"""When and what to acknowledge (architecture section 5; P14 to P18)."""

from libc.stdint cimport uint16_t, uint32_t

from xtcp_twisted.tcp.connection cimport conn_t


# The acknowledgement number that a segment carries now.
cdef uint32_t ack_number(const conn_t *c) noexcept nogil
# The window field for a segment with this acknowledgement; moves rcv_adv, never back.
cdef uint16_t window_field(conn_t *c, uint32_t ack) noexcept nogil
# In-order bytes came, in so many segments; `prompt`: out of order, a filled gap or a FIN, to be acknowledged
# at once.
cdef void ack_received(conn_t *c, bint prompt, uint16_t segments) noexcept nogil
# The application acknowledges `n` bytes; `ride`: a held acknowledgement may go on waiting for an answer.
cdef void ack_application(conn_t *c, uint32_t n, bint ride) noexcept nogil
# The application has called a request incomplete: what has come of it is acknowledged, and the window
# opens for the rest.
cdef void ack_incomplete(conn_t *c) noexcept nogil
# Whether all that is held is a part of a request, as the application has said; its active block is there.
cdef bint request_incomplete(const conn_t *c) noexcept nogil
# A segment with acknowledgement `ack` has left.
cdef void ack_sent(conn_t *c, uint32_t ack, bint with_data) noexcept nogil
# A challenge ACK or the ACK of a duplicate: at most one per 500 ms and connection.
cdef bint ack_paced(conn_t *c) noexcept nogil
# A challenge ACK (RFC 5961), paced so and counted.
cdef void ack_challenge(conn_t *c) noexcept nogil
# RFC 5961 section 3.2 for a reset beyond the window that was shown: it never resets.  Inside of what may be
# received (RFC 9293 section 3.3.1, RCV.WND), which a header without scaling cannot always show, it is
# challenged.
cdef void ack_distant_reset(conn_t *c, uint32_t seq) noexcept nogil
# Whether the pressure of the pool keeps the right edge of its window where it is.
cdef bint window_frozen(const conn_t *c) noexcept nogil
# Let an update leave of a window that was shown small, if it has become worth one of its own; whether it has.
cdef bint window_update(conn_t *c) noexcept nogil
# The window shown in a SYN-ACK of this connection's group.
cdef uint32_t first_window(uint32_t pool_chunks, uint32_t weight) noexcept nogil
# Of a connection that sends before its SYN-ACK is acknowledged (fastopen.pyx): no more is shown than that can
# show, whose field is not scaled, if it has to leave again.
cdef void window_of_syn(conn_t *c) noexcept nogil
# The acknowledgement policy or delay of its group has changed: what is owed to the peer leaves accordingly.
# One that is held never waits longer than it would have.
cdef void ack_policy_changed(conn_t *c) noexcept nogil
